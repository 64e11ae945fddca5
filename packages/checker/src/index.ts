/** What a history is, how to record and read one, and what can be said of it. */
export { escapeHtml, type HtmlOptions, htmlReport, REPORT_STYLE, violationHtml } from './html-report.js';
export { checkHistory, type FindingList, type HistoryReport } from './check.js';
export type { Finding, FindingKind } from './finding.js';
export {
  checkLinearizability,
  type CheckOptions,
  type Linearizability,
  type Violation,
} from './linearizability.js';
export { formatFinal, formatHeader, formatOperation } from './json-lines.js';
export { jsonReport } from './json-report.js';
export { checkLostWrites } from './lost-writes.js';
export {
  type Action,
  type ActionResult,
  type Answer,
  type Call,
  type Compare,
  type CompareNumber,
  type Comparison,
  type EntryRead,
  type FinalRead,
  type History,
  HistoryError,
  type Operation,
  OPERATIONS_MAX,
  type Outcome,
  type TxnOperation,
  type Value,
} from './operation.js';
export { FORMATS, type Format } from './formats.js';
export { HistoryParser, parseHistory } from './parse.js';
export { type Completion, HistoryRecorder, type RecorderOptions } from './recorder.js';
export { checkRepeated } from './repeated.js';
export { checkRevisions } from './revisions.js';
export { bytesOf, textOf } from './text.js';
export { textReport, violationLines } from './text-report.js';
