//! Rules for what happens on a box: `S-RUN-…`. Pure.

super::rules! {
    REQUIREMENT = "S-RUN-01", "a requirement that this box does not meet", "[requires] names a fact that this box does not have, or has with another value.", "Install what is missing, or choose other boxes.";
    ENGINE = "S-RUN-02", "an engine that this box does not have", "The engine is neither built in nor in [engines], or its program is not installed.", "Install it, or add [engines.NAME] to agent.toml.";
    PORT = "S-RUN-03", "a port that is taken", "A port of the bundle is in use by another program.", "Stop the other program, or choose another port.";
    DISK = "S-RUN-04", "no space", "The disk is full, or the bundle does not fit.", "Make room; it is tried again by itself.";
    CHANGED = "S-RUN-05", "a stored file was changed", "A file in the store is not what was verified; it is fetched again before anything starts.", "Find out who writes there.";
    CEILING = "S-RUN-06", "more than the ceiling allows", "The bundle or manifest asks for something that the policy's or the box's ceiling does not allow.", "Ask for less, or raise the ceiling.";
    USER = "S-RUN-07", "a user that a workflow may not have", "Workflows run as a user of the box other than root.", "Name another user, or none.";
    EXEC = "S-RUN-08", "the program could not be started", "exec failed, or the sandbox could not be made.", "The reason says which step failed.";
    INSTALL = "S-RUN-09", "the install failed", "[install] command ended with an error; the old version stays.", "Read swarm-agent logs; mend it and publish a new version.";
    NOT_READY = "S-RUN-10", "did not get ready", "What [ready] asks for did not come in time, or the process ended before it did. A version that follows a good one gives way to it at the first timeout or the fifth crash, and is held until there is a newer; where no version was ever good, the workflow is failed after five attempts.", "Read swarm-agent logs; mend it and publish a new version.";
    NOT_CHOSEN = "S-RUN-11", "not for this box", "[on] does not choose this box.", "Change [on], or the box's labels.";
    SECRET = "S-RUN-12", "a secret that this box cannot read", "The secret is missing, or not encrypted for this box.", "swarm-pack encrypt it again.";
}
