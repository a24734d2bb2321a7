//! What is said between an indexer and whoever started it: roles, variables, and its end. Pure.
//!
//! An indexer is told the pack's folder and reads the pack. Where the supervisor starts it for the agent, both talk over one
//! connection: a line with the folder's name, the pack, then what the indexer complains of, and at last how it ended, which the
//! supervisor adds.

/// The value of `SWARM_ROLE` that makes a program the indexer.
pub const ROLE: &str = "indexer";
/// The variable that names its folder: the pack's own, or the quarantine where a line on the connection says which one in there.
pub const FOLDER: &str = "SWARM_QUARANTINE";
/// Set: the indexer talks over the connection that is its descriptor 3.
pub const CONNECTED: &str = "SWARM_INDEXER_CONNECTED";
/// For the agent: the folder with [`SOCKET`] and [`QUARANTINE`] of whoever starts indexers for it.
pub const STARTER: &str = "SWARM_INDEXER";
/// For the agent: why nobody does.
pub const ALONE: &str = "SWARM_INDEXER_ALONE";
/// Who connects here has an indexer at the other end.
pub const SOCKET: &str = "socket";
/// Where packs come first.
pub const QUARANTINE: &str = "quarantine";
/// How the names of packs' folders begin.
pub const PREFIX: &str = "pack-";

/// Stands between the indexer's words and how it ended.
const SEPARATOR: u8 = 0;
const WELL: &str = "ended well";

/// The end of a conversation: how the indexer ended, in words where that was not well.
pub fn ending(ended: Result<(), &str>) -> Vec<u8> {
    let words = ended.err().unwrap_or(WELL);
    [&[SEPARATOR], words.as_bytes()].concat()
}

/// What was said, apart: the indexer's own words, and how it ended.
pub fn read_ending(said: &[u8]) -> (String, Result<(), String>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let Some(at) = said.iter().rposition(|&byte| byte == SEPARATOR) else {
        return (text(said), Err("nobody saw how it ended".into()));
    };
    let (words, ended) = (text(&said[..at]), text(&said[at + 1..]));
    if ended == WELL {
        (words, Ok(()))
    } else {
        (words, Err(ended))
    }
}

/// A line's text as the name of a pack's folder: one component, and ours.
pub fn folder_name(line: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    line.strip_prefix(PREFIX)
        .filter(|rest| !rest.is_empty() && rest.len() <= 32 && rest.bytes().all(is_plain))
        .map(|_| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_comes_back_as_it_was_said() {
        let said = |words: &str, ended| [words.as_bytes().to_vec(), ending(ended)].concat();
        assert_eq!(read_ending(&said("", Ok(()))), (String::new(), Ok(())));
        assert_eq!(
            read_ending(&said("no pack\n", Err("exited with 1"))),
            ("no pack".into(), Err("exited with 1".into()))
        );
    }

    #[test]
    fn what_was_cut_off_did_not_end_well() {
        for said in ["", "ended well", "\0ended we", "\0ended well\0"] {
            let (_, ended) = read_ending(said.as_bytes());
            assert!(ended.is_err(), "{said:?}");
        }
    }

    #[test]
    fn a_folder_name_is_one_component_of_ours() {
        assert_eq!(folder_name("pack-a1B2c3"), Some("pack-a1B2c3"));
        for line in [
            "pack-",
            "pack-../x",
            "pack-a/b",
            "other",
            "",
            "pack-.",
            "/pack-a",
        ] {
            assert_eq!(folder_name(line), None, "{line:?}");
        }
    }
}
