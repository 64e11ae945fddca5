/** What bin/kvd-sim starts: the one place that ends the process. */
import { main } from './main.js';

process.stdout.on('error', () => process.exit(0));
process.exitCode = await main(process.argv.slice(2));
