// What was found, for people: Markdown that reads as it is and can go into a document as it is.

export function report({ options, machine, systems, leftOut, tables, failures }) {
  return [
    ...machineLines(machine),
    `Rounds: ${options.rounds}, ${options.seconds} s each measurement, ${options.warmUp} s of warm-up; medians; ratios are kvd's figure by the other's.`,
    '',
    ...systems.map(
      ({ name, version, client, synced }) => `- ${name} ${version}, client ${client}; synced: ${synced}`,
    ),
    ...leftOut.map(({ what, why }) => `- left out: ${what}: ${why}`),
    ...failures.map(({ what, error }) => `- failed: ${what}: ${error}`),
    ...tables.flatMap((table) => ['', ...tableLines(table), ...errorLines(table)]),
  ].join('\n');
}

export function machineLines({ cpu, cores, memoryGiB, kernel, node, loadBefore, loadAfter, filesystem }) {
  const busy = loadBefore > cores / 4;
  return [
    `${cores} cores (${cpu}), ${memoryGiB} GiB, Linux ${kernel}, Node.js ${node}, scratch on ${filesystem}`,
    `load average at the start ${loadBefore.toFixed(1)}${loadAfter === undefined ? '' : `, at the end ${loadAfter.toFixed(1)}`}`,
    ...(busy ? ['The machine had other things to do: these figures are not for quoting.'] : []),
  ];
}

function tableLines({ title, columns }) {
  const systems = [...new Set(columns.flatMap(({ systems }) => Object.keys(systems)))];
  const compared = systems.filter((system) => columns.some(({ ratios }) => ratios[system] !== undefined));
  const rows = [
    [title, ...columns.map(({ name }) => name)],
    ['---', ...columns.map(() => '---')],
    ...systems.map((system) => [system, ...columns.map((column) => cell(column.systems[system]))]),
    ...compared.map((system) => [
      `kvd / ${system}`,
      ...columns.map((column) => ratioCell(column.ratios[system])),
    ]),
  ];
  return rows.map((row) => `| ${row.join(' | ')} |`);
}

function cell(figure) {
  if (figure === undefined) return '';
  const failed = Object.values(figure.errors).reduce((total, count) => total + count, 0);
  const p99 = figure.p99Ms === undefined ? '' : `, p99 ${number(figure.p99Ms)} ms`;
  return `${number(figure.value)}${p99}${failed > 0 ? `, ${failed} failed` : ''}`;
}

function ratioCell(ratio) {
  if (ratio === undefined) return '';
  const p99 = ratio.p99Ms === undefined ? '' : `, p99 ${ratio.p99Ms.toFixed(2)}x`;
  return `${ratio.value.toFixed(2)}x${p99}`;
}

function errorLines({ columns }) {
  return columns.flatMap(({ name, systems }) =>
    Object.entries(systems).flatMap(([system, { errors }]) =>
      Object.entries(errors).map(([kind, count]) => `${system}, ${name}: ${count} times ${kind}`),
    ),
  );
}

function number(value) {
  return value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 1 : 0 });
}
