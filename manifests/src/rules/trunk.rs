//! Rules for the trunk and the policy: `S-TRUNK-…`, `S-POLICY-…`. Pure.

super::rules! {
    UNSIGNED = "S-TRUNK-01", "a commit without a signature", "Each commit of the trunk is signed with an SSH key (SPEC 4.1).", "swarm-pack setup makes git sign; a refused head is mended by swarm-pack vouch or by resetting the branch.";
    BAD_SIGNATURE = "S-TRUNK-02", "a commit whose signature does not hold", "The signature is damaged, of a kind that is not taken, or over other bytes.", "Sign again with an ed25519, ECDSA or RSA (2048 bits or more) SSH key.";
    NO_RIGHT = "S-TRUNK-03", "a commit by somebody without the right", "The signer lacks the right for a path that the commit changes against its first parent.", "Have somebody with the right sign it (swarm-pack vouch), or change the policy first.";
    UNKNOWN_KEY = "S-TRUNK-04", "signed by a key that the policy does not know", "The key belongs to nobody in the policy of the first parent.", "Add the person by a policy change first, or sign with a key that is known.";
    REWOUND = "S-TRUNK-05", "the branch was set back", "The new head is an ancestor of the head that was trusted last. Nothing changes, what runs keeps running.", "Push the newer head again, or a new commit upon it: git push origin <trusted>:main.";
    SIDELINED = "S-TRUNK-06", "the trusted head became a second parent", "A git pull without rebase put the trusted head on the side. Nothing changes.", "git pull --rebase instead: git reset --hard <trusted>, then merge or rebase your commits upon it.";
    UNRELATED = "S-TRUNK-07", "the branch has another history", "The new head's first-parent history does not contain the head that was trusted last. Nothing changes.", "Push the trusted history again, or re-introduce the box (a changed [trust]).";
    MALFORMED = "S-TRUNK-08", "a commit that is not of the strict form", "The commit has odd or repeated headers, a NUL, or two signatures.", "Make the commit again with git.";
    BOXES = "S-TRUNK-09", "deployed to a box outside the grant", "A grant with boxes covers only manifests that name boxes in [on] boxes, old and new.", "Name boxes that the grant has, or have somebody with a wider grant sign it.";
    TREE = "S-TRUNK-10", "a tree with an entry that is not allowed", "A commit brings an entry that git does not check out or that does harm in a clone: `.`, `..`, `.git` in any spelling, a control character, a name of more than 255 bytes, a mode that is no file's; or a tree is not of git's form.", "Remove the entry, in a commit upon the trusted head: git reset --hard <trusted> first.";
    INTRODUCTION = "S-TRUNK-11", "the introduction is not as [trust] says", "The introduction commit is missing, or its policy.toml has another SHA-256.", "Compare [trust] with what swarm-pack init printed.";
    NO_BRANCH = "S-TRUNK-12", "the branch is missing, or no commit", "The remote has no such branch, or it is at a tag, tree or blob. Nothing changes.", "Push the branch again, or correct [repository] branch.";
    STATE_LOST = "S-TRUNK-13", "the trust state was lost", "trust.json was missing or damaged; trust starts again at [trust].", "Nothing, if you removed it; else look at the disk.";
    NO_POLICY = "S-POLICY-01", "policy.toml is missing or wrong", "policy.toml must be a file, parse, and not be removed.", "Mend it in the commit.";
    POLICY_VERSION = "S-POLICY-02", "the policy's version is not one more", "A change of policy.toml has version + 1 and the same repository id.", "Set version to the old one + 1.";
    POLICY_REPOSITORY = "S-POLICY-03", "the policy is of another repository", "The repository id never changes.", "Set it back.";
    POLICY_APPROVALS = "S-POLICY-04", "too few admins stand behind the policy", "policy.sigs/ needs approvals by threshold distinct admins.", "swarm-pack approve policy.toml by another admin.";
    POLICY_LOCKOUT = "S-POLICY-05", "a policy that could never be changed again", "The threshold is larger than the number of admins with a key.", "Lower the threshold, or add admins.";
    POLICY_KEYS = "S-POLICY-06", "one key under two people", "A key belongs to exactly one person.", "Remove it from one of them.";
    APPROVALS = "S-APPROVE-01", "the manifest waits for approvals", "A grant asks for more people behind the manifest than have signed.", "Have another person with deploy rights approve it.";
    REVOKED_KEY = "S-REVOKE-01", "a commit signed with a revoked key", "[[revoked]] says that this key counts for nothing from an earlier position on.", "Sign with another key; swarm-pack vouch takes a refused commit over where it is meant.";
    REVOKED = "S-REVOKE-02", "brought by a revoked key", "What a revoked key brought at or after the position of its [[revoked]] entry counts as absent: what runs from it is stopped, and the last version that is not void returns.", "Look at what it was; have somebody with the right deploy, approve or sign it again.";
    MASS_REMOVAL = "S-REMOVE-01", "a removal of many workflows is held", "A commit that deletes more than half of what runs here, and at least two, is held.", "Commit with the trailer Allow-mass-removal: N.";
}
