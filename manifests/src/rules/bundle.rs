//! Rules for bundles: `S-BUNDLE-…`. Pure.

super::rules! {
    MISSING = "S-BUNDLE-01", "no such bundle version", "The manifest names a bundle version that is not in bundles/ and not in the box's store.", "Publish it (swarm-pack publish), or set a version that exists.";
    LOCK = "S-BUNDLE-02", "bundle.lock is missing or not canonical", "bundle.lock must be exactly the text that swarm-pack build writes.", "Run swarm-pack build and publish again.";
    SIGNATURE = "S-BUNDLE-03", "the signature does not fit", "bundle.lock.sig is missing, damaged, or not a signature over these bytes in the namespace swarm-bundle@v1.", "Sign again: swarm-pack sign.";
    PUBLISHER = "S-BUNDLE-04", "signed by somebody without the right to publish", "The key belongs to nobody in the policy, or to a person without publish for this bundle.", "Have somebody with the right sign it, or change the policy.";
    FILE_DIFFERS = "S-BUNDLE-05", "a file differs from bundle.lock", "A listed file is missing, has other bytes, another size or another mode.", "Publish the version again under a new number.";
    FILE_EXTRA = "S-BUNDLE-06", "a file that bundle.lock does not list", "The folder holds a file that is not in the lock.", "Remove it, or build and publish a new version.";
    NAME = "S-BUNDLE-07", "lock, bundle.toml and folder disagree", "Name and version must be the same in the folder's path, in bundle.toml and in bundle.lock.", "Build and publish again.";
    IMMUTABLE = "S-BUNDLE-08", "other bytes under a version that exists", "A version, once on the trunk, is immutable: other bytes under its name are refused for good.", "Raise the version.";
    PATH = "S-BUNDLE-09", "a path that no bundle may have", "Components are 1 to 255 bytes of UTF-8 without control or bidirectional characters, / or \\; never .git; no two paths equal but for case; depth 32 at most.", "Rename the file.";
    LINK = "S-BUNDLE-10", "a link that leaves the bundle", "A link's target is relative and stays inside the bundle.", "Make it relative, or copy the file.";
    TOO_LARGE = "S-BUNDLE-11", "the bundle is too large", "At most 50,000 files, 1 GiB, and depth 32.", "Split it.";
    MODE = "S-BUNDLE-12", "an entry that is neither file nor link", "Submodules, devices and odd modes have no place in a bundle.", "Remove it.";
    TOML = "S-BUNDLE-13", "bundle.toml is wrong", "bundle.toml has a problem that is named.", "Mend it and publish a new version.";
    PLACEHOLDER = "S-BUNDLE-14", "a placeholder that cannot be resolved", "Only {bundle} {state} {entry} {box} {host} {workflow} {version} {instance} {arch} {os} {label.X} {port.N} may stand there, and each must have a value on the box; {{word}} is the text {word}.", "Correct it, or give the box the label.";
}
