//! What an object has beside its attributes: flags, access lists, capabilities, labels, extended attributes.

use serde_json::Value;

use super::json::Object;
use crate::event::{Further, Words};

/// As now, in the fields of `fimk`; the flags are `file.attributes`, for which ECS has a place.
pub(super) fn set_words(fimk: &mut Object, words: &Words) {
    fimk.set("file_system", words.file_system.clone());
    fimk.set("acl", words.acl.clone());
    fimk.set("default_acl", words.default_acl.clone());
    fimk.set("capabilities", words.capabilities.clone());
    fimk.set("selinux", words.selinux.clone());
    fimk.set("xattrs", xattrs(words));
}

/// What was other before, in the fields of `fimk.before`.
pub(super) fn set_before(before: &mut Object, further: &Further) {
    before.set("attributes", further.before.flags.clone());
    before.set("owner", further.owner_before.clone());
    before.set("group", further.group_before.clone());
    set_words(before, &further.before);
}

fn xattrs(words: &Words) -> Vec<Value> {
    let each = words.xattrs.iter().map(|(name, value)| {
        let mut object = Object::default();
        object.set("name", name.clone());
        object.set("value", value.clone());
        Value::from(object)
    });
    each.collect()
}
