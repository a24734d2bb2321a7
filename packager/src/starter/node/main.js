// Everything that it needs to know comes in the environment; SWARM_STATE is its own writable folder.
const { SWARM_BOX, SWARM_WORKFLOW, SWARM_VERSION } = process.env;
console.log(`${SWARM_WORKFLOW} ${SWARM_VERSION} runs on ${SWARM_BOX}`);

setInterval(() => console.log(new Date().toISOString()), 1000);

process.on('SIGTERM', () => {
    console.log('asked to stop');
    process.exit(0);
});
