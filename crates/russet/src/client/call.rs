//! One command or script call, before it is sent.

use redis::{Arg, Cmd, ToRedisArgs};

use crate::{
    keys::{Part, Slot},
    script::Script,
};

/// A call on keys of one slot.
#[derive(Clone)]
pub(crate) struct Call {
    pub(super) cmd: Cmd,
    pub(super) effect: Effect,
    script: Option<&'static Script>,
    name: &'static str,
    slot: Slot,
}

/// What a lost answer leaves behind; it decides whether the call may be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Changes nothing.
    Read,
    /// Done twice, it ends the same.
    Idempotent,
    /// Done twice, it would be wrong.
    Once,
}

impl Call {
    /// A command that changes nothing.
    pub(crate) fn read(command: &'static str, slot: &Slot) -> Self {
        Self::command(command, slot, Effect::Read)
    }

    /// A command that changes something.
    pub(crate) fn write(command: &'static str, slot: &Slot) -> Self {
        Self::command(command, slot, Effect::Once)
    }

    /// A script and all its keys, in the order of its header.
    pub(crate) fn script(script: &'static Script, slot: &Slot, keys: &[&Part]) -> Self {
        let (verb, effect) = if script.is_read_only() {
            ("EVALSHA_RO", Effect::Read)
        } else {
            ("EVALSHA", Effect::Once)
        };
        let mut cmd = Cmd::new();
        cmd.arg(verb).arg(script.sha()).arg(keys.len());
        for key in keys {
            cmd.arg(slot.key(key));
        }
        Self { cmd, effect, script: Some(script), name: script.name, slot: slot.clone() }
    }

    /// A command as it is typed, on no object of russet; `key` says to which node of a Cluster it goes.
    pub(super) fn raw(words: &[impl AsRef<[u8]>], key: Option<&[u8]>) -> Self {
        let mut cmd = Cmd::new();
        for word in words {
            cmd.arg(word.as_ref());
        }
        let slot = Slot::of_key(key);
        Self { cmd, effect: Effect::Once, script: None, name: "a raw command", slot }
    }

    /// The number of its slot in a Cluster; none when any node will do.
    pub(super) fn slot(&self) -> Option<u16> {
        self.slot.number()
    }

    /// A key of the command.
    pub(crate) fn key(mut self, part: &Part) -> Self {
        self.cmd.arg(self.slot.key(part));
        self
    }

    /// An argument: text, bytes or a number.
    pub(crate) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.cmd.arg(argument);
        self
    }

    /// Says that the write ends the same when it is done twice: it is sent again when its answer was lost.
    pub(crate) fn idempotent(mut self) -> Self {
        if self.effect == Effect::Once {
            self.effect = Effect::Idempotent;
        }
        self
    }

    /// The same call with the script's whole text, for a server that does not know it. `EVAL` runs and
    /// keeps it in one step; a `SCRIPT LOAD` before could be flushed in between.
    pub(super) fn with_source(&self) -> Option<Cmd> {
        let script = self.script?;
        let mut cmd = Cmd::new();
        cmd.arg(if script.is_read_only() { "EVAL_RO" } else { "EVAL" }).arg(script.source);
        for arg in self.cmd.args_iter().skip(2) {
            if let Arg::Simple(bytes) = arg {
                cmd.arg(bytes);
            }
        }
        Some(cmd)
    }

    /// What is called on which object, for errors.
    pub(super) fn subject(&self) -> String {
        match self.slot.object() {
            "" => self.name.to_owned(),
            object => format!("{} on {object}", self.name),
        }
    }

    fn command(command: &'static str, slot: &Slot, effect: Effect) -> Self {
        let mut cmd = Cmd::new();
        cmd.arg(command);
        Self { cmd, effect, script: None, name: command, slot: slot.clone() }
    }
}
