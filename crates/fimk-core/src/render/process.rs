//! Processes in a line.

use serde_json::Value;

use super::json::Object;
use crate::{
    event::{Actor, Process},
    time::Timestamp,
};

/// `process`: the one that did it.
pub(super) fn process(actor: &Actor) -> Object {
    let mut object = brief(&actor.process);
    object.set("args", actor.process.args.clone());
    object.set("command_line", command_line(&actor.process.args));
    if let Some(parent) = actor.ancestors.first() {
        object.set("parent", brief(parent));
    }
    object
}

/// What every process is told by; pid 0 is no process.
fn brief(process: &Process) -> Object {
    let mut object = Object::default();
    object.set("pid", (process.pid != 0).then_some(process.pid));
    object.set(
        "executable",
        process.executable.as_ref().map(ToString::to_string),
    );
    object.set("name", process.name.clone());
    object.set("start", process.start.map(Timestamp::rfc3339));
    object
}

/// `fimk.ancestors`, parent first.
pub(super) fn ancestors(actor: &Actor) -> Vec<Value> {
    actor
        .ancestors
        .iter()
        .map(|process| brief(process).into())
        .collect()
}

/// `user`.
pub(super) fn user(actor: &Actor) -> Object {
    let mut object = Object::default();
    object.set("id", actor.uid.map(|uid| uid.to_string()));
    object.set("name", actor.user.clone());
    object
}

/// `container`: where it ran.
pub(super) fn container(actor: &Actor) -> Object {
    let mut object = Object::default();
    object.set("id", actor.container.clone());
    object
}

/// A member of `fimk.actors`.
pub(super) fn actor(actor: &Actor) -> Value {
    let mut object = process(actor);
    object.0.remove("parent");
    object.set("user", user(actor));
    set_circumstances(&mut object, actor);
    object.set("container", container(actor));
    object.set("ancestors", ancestors(actor));
    object.into()
}

/// What ECS has no field for: below `fimk`, or in a member of `fimk.actors`.
pub(super) fn set_circumstances(object: &mut Object, actor: &Actor) {
    let process = &actor.process;
    let flag = |it: bool| it.then_some(true);
    object.set("attributed_by", actor.attribution.names());
    object.set("login_uid", actor.login_uid);
    object.set("session", actor.session);
    object.set("cgroup", actor.cgroup.clone());
    object.set("pid_in_namespace", actor.pid_in_namespace);
    object.set("executable_gone", flag(process.executable_gone));
    object.set("executable_in_memory", flag(process.executable_in_memory));
    object.set("kernel_thread", flag(process.kernel));
}

/// As it could be typed into a shell.
fn command_line(args: &[String]) -> String {
    let quoted: Vec<String> = args.iter().map(|arg| quote(arg)).collect();
    quoted.join(" ")
}

fn quote(arg: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "_@%+=:,./-".contains(character);
    if !arg.is_empty() && arg.chars().all(plain) {
        return arg.to_owned();
    }
    format!("'{}'", arg.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_as_for_a_shell() {
        let args = ["usermod", "-c", "it's me", "", "a=b/c-d"].map(str::to_owned);
        assert_eq!(command_line(&args), "usermod -c 'it'\\''s me' '' a=b/c-d");
    }
}
