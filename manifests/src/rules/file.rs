//! Rules for the files that people write: `S-FILE-…`, `S-SELECT-…`. Pure.

super::rules! {
    SYNTAX = "S-FILE-01", "the file is not TOML", "The file could not be read as TOML 1.0 in UTF-8.", "Mend the marked place; swarm-pack check shows it.";
    UNKNOWN_KEY = "S-FILE-02", "unknown key", "Every key must be known, so that a typing error never means silence.", "Correct the key, or remove it.";
    MISSING_KEY = "S-FILE-03", "a required key is missing", "The file lacks a key that has no default.", "Add the key.";
    WRONG_TYPE = "S-FILE-04", "a value of the wrong type", "The value has another type than the key takes.", "Write the value as the hint shows.";
    BAD_VALUE = "S-FILE-05", "a value that the key does not take", "The value has the right type, but not an allowed form or range.", "Write the value as the hint shows.";
    BAD_NAME = "S-FILE-06", "not a name", "Names of boxes, bundles, workflows, people, teams and secrets are [a-z0-9][a-z0-9-]{0,62}.", "Use lower-case letters, digits and dashes, 63 at most.";
    TOO_LARGE = "S-FILE-07", "the file is too large", "Files that people write may have 1 MiB at most.", "Split or shorten it.";
    FORBIDDEN_ENV = "S-FILE-08", "a variable that a manifest may not set", "A manifest may not set variables that load code or choose programs (LD_*, PATH, HOME, NODE_OPTIONS, PYTHON* but for harmless ones, ...) nor SWARM_*; a bundle may, except SWARM_*, because it is signed code.", "Leave SWARM_* out; set anything else in the bundle's [env], or leave it out.";
    BAD_PATH = "S-FILE-09", "not a path inside the bundle", "Paths are relative, with / between plain components; no .., no .git, no backslash, no control characters.", "Give a path inside the bundle.";
    NOT_BUILT = "S-FILE-10", "not built yet", "The contract describes this, this version does not do it yet; it is refused rather than ignored.", "Leave it out, or use a newer version.";
    DUPLICATE = "S-FILE-11", "two files with one name", "A workflow's name is the stem of its manifest, and unique in the repository.", "Rename one of them.";
    CHARACTERS = "S-FILE-12", "a character that hides what the text says", "Bidirectional controls and a byte order mark make a text look like another one.", "Remove the character at the marked place.";
    LITERAL_SECRET = "S-FILE-13", "a literal that looks like a secret", "A value in [env] has the form of a password, token or private key. Whoever can read the repository, its forge and its backups has it. Boxes run it all the same; swarm-pack check finds it.", "Take it out of use at its source, since history keeps it; then swarm-pack encrypt WORKFLOW NAME, and name it in [secrets].";
    MEANINGLESS = "S-FILE-14", "a key that cannot have an effect", "Together with what else the manifest says, the key means nothing: on-limit without time-limit, a restart of a once, a delay beyond its own max-delay. It is refused rather than ignored.", "Leave it out, or change what makes it meaningless.";
    NO_FILE = "S-FILE-15", "a file that is not there", "agent.toml names a file that the box does not have: a secret, credentials, a key, an authority. The agent runs, and what needs the file does not work; swarm-agent check-config tells it.", "Put the file there, or correct the path.";
    SELECTOR = "S-SELECT-01", "the selector does not parse", "where = takes comparisons of labels and facts, joined by && and ||, negated by !.", "Mend the marked place.";
    SELECTS_NOTHING = "S-SELECT-02", "selects no box of the roster", "No box of boxes/ is chosen by [on]. It may still be one that the roster does not have.", "Check the names and labels.";
}
