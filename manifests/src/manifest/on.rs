//! Which boxes `[on]` chooses. Pure.

use super::On;
use crate::{facts::Facts, name::Name, selector::Verdict};
use sha2::{Digest as _, Sha256};
use std::cmp::Reverse;

impl On {
    /// Whether this box is chosen by `all`, `boxes` and `where` (not `count`, which needs the roster), and if not, why.
    pub fn choose(&self, facts: &Facts) -> Verdict {
        if let Some(boxes) = &self.boxes
            && !boxes.iter().any(|pattern| pattern.matches(&facts.name))
        {
            let list: Vec<_> = boxes
                .iter()
                .map(|pattern| format!("{:?}", pattern.as_str()))
                .collect();
            return Verdict::NotChosen(format!(
                "box {:?} is not among boxes = [{}]",
                facts.name,
                list.join(", ")
            ));
        }
        match &self.selector {
            Some(selector) => selector.choose(facts),
            None if self.all || self.boxes.is_some() => Verdict::Chosen,
            None => Verdict::NotChosen("[on] chooses no box".into()),
        }
    }

    /// Whether a box of which only name and labels are known (the roster) is chosen, `count` apart; none: only the box can tell.
    pub fn foresee(&self, known: &Facts) -> Option<bool> {
        let named = self
            .boxes
            .as_ref()
            .is_none_or(|boxes| boxes.iter().any(|pattern| pattern.matches(&known.name)));
        match &self.selector {
            _ if !named => Some(false),
            Some(selector) => selector.foresee(known),
            None => Some(self.all || self.boxes.is_some()),
        }
    }

    /// Of the boxes that [`On::choose`] chose, the `count` ones with the highest rendezvous hash of (workflow, box); all without `count`.
    ///
    /// Who is chosen changes as little as can be when boxes come and go.
    pub fn narrow<'a>(
        &self,
        workflow: &Name,
        chosen: impl Iterator<Item = &'a str>,
    ) -> Vec<&'a str> {
        let mut boxes: Vec<&str> = chosen.collect();
        let Some(count) = self.count else {
            return boxes;
        };
        boxes.sort_by_cached_key(|name| Reverse((weight(workflow, name), (*name).to_string())));
        boxes.dedup();
        boxes.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        boxes
    }
}

/// Part of the contract between boxes: each computes it alone, and all must agree.
fn weight(workflow: &Name, name: &str) -> [u8; 32] {
    Sha256::digest(format!(
        "swarm-rendezvous-v1\nworkflow {workflow}\nbox {name}\n"
    ))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::Pattern, selector::Selector};

    fn facts(name: &str) -> Facts {
        Facts {
            name: name.into(),
            ..Facts::default()
        }
    }

    fn boxes(patterns: &[&str]) -> Vec<Pattern> {
        patterns
            .iter()
            .map(|text| Pattern::new(text).expect("a pattern"))
            .collect()
    }

    #[test]
    fn every_condition_given_must_hold() {
        let on = On {
            all: true,
            boxes: Some(boxes(&["lab-*", "x"])),
            selector: Some(Selector::parse("box != 'lab-2'").expect("a selector")),
            count: None,
        };
        assert_eq!(on.choose(&facts("lab-1")), Verdict::Chosen);
        assert_eq!(
            on.choose(&facts("y")),
            Verdict::NotChosen("box \"y\" is not among boxes = [\"lab-*\", \"x\"]".into())
        );
        assert_eq!(
            on.choose(&facts("lab-2")),
            Verdict::NotChosen("box lab-2 == lab-2".into())
        );
        assert!(matches!(
            On::default().choose(&facts("lab-1")),
            Verdict::NotChosen(_)
        ));
    }

    #[test]
    fn a_box_that_leaves_moves_one_place_only() {
        let workflow = Name::new("web").expect("a name");
        let names: Vec<String> = (0..20).map(|at| format!("box-{at}")).collect();
        let on = On {
            all: true,
            count: Some(5),
            ..On::default()
        };
        let before = on.narrow(&workflow, names.iter().map(String::as_str));
        assert_eq!(before.len(), 5);
        let after = on.narrow(
            &workflow,
            names
                .iter()
                .map(String::as_str)
                .filter(|name| *name != before[2]),
        );
        assert_eq!(before.iter().filter(|name| after.contains(name)).count(), 4);
        assert_eq!(
            On { count: None, ..on }.narrow(&workflow, ["b", "a"].into_iter()),
            ["b", "a"]
        );
    }
}
