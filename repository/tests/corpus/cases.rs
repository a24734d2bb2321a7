//! The cases of the corpus: commits by git itself with each kind of key, and the same changed by hand. In: a world. Out: raw commits,
//! each with a name. Touches the world's repository.

use crate::world::World;
use std::fmt::Write as _;

/// A case: its name and the raw commit.
pub type Case = (String, Vec<u8>);

/// The keys of the one admin.
pub const KINDS: [(&str, &[&str]); 6] = [
    ("ed25519", &["-t", "ed25519"]),
    ("p256", &["-t", "ecdsa", "-b", "256"]),
    ("p384", &["-t", "ecdsa", "-b", "384"]),
    ("p521", &["-t", "ecdsa", "-b", "521"]),
    ("rsa2048", &["-t", "rsa", "-b", "2048"]),
    ("rsa3072", &["-t", "rsa", "-b", "3072"]),
];

/// A trunk whose policy has one admin with a key of each kind.
pub fn first_world() -> World {
    let world = World::empty();
    let mut text = String::from(
        "format = 1\nrepository = \"b1f0c2d3e4f5a6b7\"\nversion = 1\n[people.alice]\nadmin = true\nkeys = [\n",
    );
    for (kind, how) in KINDS {
        world.keygen(kind, how);
        writeln!(text, "  {:?},", world.public(kind)).expect("text");
    }
    world.keygen("rsa1024", &["-t", "rsa", "-b", "1024"]);
    world.write("policy.toml", &(text + "]\n"));
    world.commit("ed25519", "introduction");
    world
}

/// The lines of the gpgsig header.
fn header(raw: &str) -> String {
    let start = raw.find("gpgsig ").expect("signed");
    let end = start
        + raw[start..]
            .find("-----END SSH SIGNATURE-----\n")
            .expect("an end");
    raw[start..end].to_owned() + "-----END SSH SIGNATURE-----\n"
}

/// A payload with a signature by this key put behind the committer, as git does.
fn sign(world: &World, key: &str, namespace: &str, payload: &str) -> String {
    let armour = world.signature(key, namespace, payload);
    let header = format!("gpgsig {}\n", armour.trim_end().replace('\n', "\n "));
    let at = payload.find("\n\n").expect("an end of the headers") + 1;
    format!("{}{header}{}", &payload[..at], &payload[at..])
}

/// Commits by git itself: each kind of key, different messages, dates, merges.
fn made_by_git(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let base = world.head();
    let messages = [
        "a line",
        "with\n\na body",
        "Ümlaut ☃",
        "-----BEGIN SSH SIGNATURE-----\nx",
    ];
    for (kind, _) in KINDS {
        for message in messages {
            world.git(["checkout", "-q", "--detach", &base.to_string()]);
            let id = world.commit_staged(kind, message);
            cases.push((format!("git: {kind}: {message:?}"), world.raw(id)));
        }
    }
    let tree = world.git(["rev-parse", "HEAD^{tree}"]);
    let side = world.commit_tree("eve", &tree, &[base]);
    let other = world.commit_tree("bob", &tree, &[base]);
    for parents in [&[base, side][..], &[base, side, other]] {
        let id = world.commit_tree("ed25519", &tree, parents);
        cases.push((format!("git: merge of {}", parents.len()), world.raw(id)));
    }
    for person in ["alice", "bob", "eve", "ci", "rsa1024"] {
        let id = world.commit_tree(person, &tree, &[base]);
        let name = if person == "rsa1024" {
            "key: short RSA".into()
        } else {
            format!("git: unknown {person}")
        };
        cases.push((name, world.raw(id)));
    }
    world.git(["checkout", "-q", "--detach", &base.to_string()]);
    let unsigned = world.commit_unsigned("unsigned");
    cases.push(("git: unsigned".into(), world.raw(unsigned)));
    world.git(["checkout", "-q", "--detach", &base.to_string()]);
    cases
}

/// Payloads of odd forms, each rightly signed over its own bytes by git's own means.
fn odd_payloads(world: &World, payload: &str) -> Vec<Case> {
    let tree = payload.lines().next().expect("a tree").to_owned() + "\n";
    let parent = payload.lines().nth(1).expect("a parent").to_owned() + "\n";
    let author = payload.lines().nth(2).expect("an author").to_owned() + "\n";
    let committer = payload.lines().nth(3).expect("a committer").to_owned() + "\n";
    let behind = |more: &str| payload.replacen(&committer, &format!("{committer}{more}"), 1);
    let swapped = |a: &str, b: &str| payload.replacen(&format!("{a}{b}"), &format!("{b}{a}"), 1);
    let tag = "mergetag object 0000000000000000000000000000000000000000\n type commit\n";
    let odd = [
        ("headers: as they are", payload.to_owned()),
        ("headers: unknown", behind("swarm yes\n")),
        ("headers: encoding", behind("encoding ISO-8859-1\n")),
        (
            "headers: encoding twice",
            behind("encoding a\nencoding b\n"),
        ),
        ("headers: mergetag", behind(tag)),
        ("headers: mergetag twice", behind(&tag.repeat(2))),
        ("headers: gpgsig-sha256", behind("gpgsig-sha256 x\n")),
        ("headers: parent and tree swapped", swapped(&tree, &parent)),
        (
            "headers: author and committer swapped",
            swapped(&author, &committer),
        ),
        (
            "headers: tree twice",
            payload.replacen(&tree, &tree.repeat(2), 1),
        ),
        ("headers: no author", payload.replacen(&author, "", 1)),
        (
            "headers: author twice",
            payload.replacen(&author, &author.repeat(2), 1),
        ),
        (
            "headers: carriage returns",
            payload.replace('\n', "\r\n").replace("\r\n\r\n", "\r\n\n"),
        ),
        (
            "headers: parent of another",
            payload.replacen(&parent, &format!("parent {}\n", "1".repeat(40)), 1),
        ),
        ("headers: no parent", payload.replacen(&parent, "", 1)),
        (
            "headers: short tree",
            payload.replacen("tree ", "tree 0", 1),
        ),
        (
            "ident: odd date",
            payload.replacen(" +0000\n", " +00000\n", 2),
        ),
        (
            "ident: no address",
            payload.replacen(&author, "author nobody 1700000000 +0000\n", 1),
        ),
        (
            "message: empty",
            payload.split("\n\n").next().expect("headers").to_owned() + "\n\n",
        ),
        ("message: headers again", payload.to_owned() + &author),
    ];
    odd.into_iter()
        .map(|(name, payload)| {
            (
                name.to_owned(),
                sign(world, "ed25519", "git", &payload).into_bytes(),
            )
        })
        .collect()
}

/// Signed commits with one thing changed by hand.
fn changed_by_hand(raw: &str) -> Vec<Case> {
    let header = header(raw);
    let with = |other: &str| raw.replacen(&header, other, 1);
    let armour = |change: &dyn Fn(&str) -> String| with(&change(&header));
    let mut cases = vec![
        ("signature: none", with("")),
        ("signature: twice", with(&header.repeat(2))),
        ("signature: in the message", with("") + "\n" + &header),
        ("signature: empty", with("gpgsig \n")),
        (
            "signature: under another name",
            with(&header.replacen("gpgsig", "gpgsiG", 1)),
        ),
        ("signature: folded", armour(&|h| h.replace("\n ", "\n  "))),
        ("signature: unfolded", armour(&|h| h.replace("\n ", "\n"))),
        (
            "armour: text before",
            armour(&|h| h.replacen("gpgsig ", "gpgsig text\n ", 1)),
        ),
        ("armour: text after", with(&format!("{header} text\n"))),
        (
            "armour: carriage returns",
            armour(&|h| h.replace('\n', "\r\n")),
        ),
        (
            "armour: empty line",
            armour(&|h| h.replacen("SIGNATURE-----\n", "SIGNATURE-----\n \n", 1)),
        ),
        (
            "armour: spaces",
            armour(&|h| h.replacen("U1NI", "U1 NI", 1)),
        ),
        (
            "armour: PGP",
            armour(&|h| h.replace("SSH SIGNATURE", "PGP SIGNATURE")),
        ),
        (
            "armour: no end",
            armour(&|h| h.replace("-----END SSH SIGNATURE-----", "-----END-----")),
        ),
        (
            "armour: version 2",
            armour(&|h| h.replacen("U1NIU0lHAAAAAQ", "U1NIU0lHAAAAAg", 1)),
        ),
        (
            "armour: version 0",
            armour(&|h| h.replacen("U1NIU0lHAAAAAQ", "U1NIU0lHAAAAAA", 1)),
        ),
        ("message: changed", raw.replace("a line", "A line")),
        ("message: a NUL", raw.replace("a line", "a\0line")),
        ("message: longer", raw.to_owned() + "more\n"),
        ("ident: another", raw.replacen("Somebody", "Sombody", 1)),
    ];
    cases.retain(|(_, case)| case != raw);
    let named = cases.into_iter();
    named
        .map(|(name, raw)| (name.to_owned(), raw.into_bytes()))
        .collect()
}

/// Each place of the armour with another letter, and each line cut away; and the payload byte by byte.
fn damaged(kind: &str, raw: &str) -> Vec<Case> {
    let header = header(raw);
    let lines: Vec<&str> = header.split_inclusive('\n').collect();
    let mut cases = Vec::new();
    for at in 0..lines.len() {
        let without: String = lines
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != at)
            .map(|(_, l)| *l)
            .collect();
        cases.push((
            format!("damaged: {kind} without line {at}"),
            raw.replacen(&header, &without, 1),
        ));
        let twice: String = lines
            .iter()
            .enumerate()
            .map(|(n, line)| line.repeat(1 + usize::from(n == at)))
            .collect();
        // The last line twice is text behind the armour.
        let name = if at + 1 == lines.len() {
            "armour: text after".into()
        } else {
            format!("damaged: {kind} line {at} twice")
        };
        cases.push((name, raw.replacen(&header, &twice, 1)));
    }
    let inside: Vec<usize> = header
        .char_indices()
        .filter(|(at, c)| *at > 40 && *at < header.len() - 30 && c.is_ascii_alphanumeric())
        .map(|(at, _)| at)
        .collect();
    for at in inside.iter().step_by(inside.len() / 12 + 1) {
        let mut other = header.clone();
        let letter = if &other[*at..=*at] == "A" { "B" } else { "A" };
        other.replace_range(*at..=*at, letter);
        cases.push((
            format!("damaged: {kind} letter {at}"),
            raw.replacen(&header, &other, 1),
        ));
    }
    cases.retain(|(_, case)| case != raw);
    cases
        .into_iter()
        .map(|(name, raw)| (name, raw.into_bytes()))
        .collect()
}

/// Every case.
pub fn corpus(world: &World) -> Vec<Case> {
    let mut cases = made_by_git(world);
    let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).expect("text");
    let raw = text(&cases[0].1);
    let payload = raw.replacen(&header(&raw), "", 1);
    cases.extend(odd_payloads(world, &payload));
    for namespace in [
        "file",
        "swarm-policy@v1",
        "swarm-manifest@v1",
        "swarm-bundle@v1",
        "Git",
        "git ",
    ] {
        let case = sign(world, "ed25519", namespace, &payload);
        cases.push((format!("namespace: {namespace:?}"), case.into_bytes()));
    }
    for (n, (kind, _)) in KINDS.iter().enumerate() {
        let raw = text(&cases[4 * n].1);
        cases.extend(changed_by_hand(&raw));
        cases.extend(damaged(kind, &raw));
    }
    cases
}
