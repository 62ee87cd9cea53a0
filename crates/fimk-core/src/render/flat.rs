//! An event as a list of names and texts, for protocols that know no nesting.

use serde_json::Value;

use super::{
    FIELDS,
    cut::to_fit,
    ecs::{Host, document},
    json::{Object, one_line},
};
use crate::event::Event;

/// Names what was cut.
pub(super) const TRUNCATED: &str = "fimk.truncated";

/// The fields of [`FIELDS`] that the event has, in that order, each with its texts. A list of strings is several; a list
/// of objects and an object whose keys are names of things is one, in JSON.
pub(super) fn fields(event: &Event, host: &Host) -> Vec<(&'static str, Vec<String>)> {
    let mut document = document(event, host);
    to_fit(&mut document);
    let known = |(name, _): (&'static str, _)| Some((name, texts(member(&document, name)?)));
    FIELDS.into_iter().filter_map(known).collect()
}

fn member<'d>(document: &'d Object, name: &str) -> Option<&'d Value> {
    let mut names = name.split('.');
    let first = document.0.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) if list.iter().all(Value::is_string) => {
            list.iter().flat_map(texts).collect()
        }
        value => vec![one_line(value)],
    }
}
