//! Every rule that something can be refused by, with its stable id: what `explain` prints, and the docs. Pure.
//!
//! Ids are never given to another rule, also when the rule is gone.

pub mod bundle;
pub mod file;
pub mod remote;
pub mod run;
pub mod trunk;

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// `S-TRUNK-03`
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means, in a few sentences.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Every rule there is, by id.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [file::ALL, bundle::ALL, trunk::ALL, remote::ALL, run::ALL]
        .into_iter()
        .flatten()
        .copied()
}

/// The rule with this id, in any case.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

/// Declares the rules of one family and the list of them.
macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $title:literal, $meaning:literal, $remedy:literal;)*) => {
        $(
            #[doc = concat!("Rule `", $id, "`.")]
            pub static $name: $crate::rules::Rule = $crate::rules::Rule { id: $id, title: $title, meaning: $meaning, remedy: $remedy };
        )*
        /// The rules of this family.
        pub static ALL: &[&$crate::rules::Rule] = &[$(&$name),*];
    };
}
pub(crate) use rules;

#[cfg(test)]
mod tests {
    #[test]
    fn every_rule_has_an_id_of_its_own() {
        let mut ids: Vec<_> = super::all().map(|rule| rule.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
