// Prints how long it has been running, in words of the package `ms`.
const ms = require('ms');

console.log(`two days are ${ms('2 days')} ms`);
const begun = Date.now();
setInterval(() => console.log(`up ${ms(Date.now() - begun, { long: true })}`), 1000);
process.on('SIGTERM', () => process.exit(0));
