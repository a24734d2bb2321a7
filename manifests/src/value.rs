//! One value of a label or fact. Pure.

use serde::{Deserialize, Serialize};

/// One value of a label or fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Value {
    Bool(bool),
    Number(i64),
    Text(String),
}
