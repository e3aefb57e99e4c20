//! Lua scripts as statics: a wrong file name does not compile, and nothing is loaded at run time.

use std::sync::OnceLock;

/// One state transition on the server, made by [`script!`].
pub(crate) struct Script {
    /// The file below `lua/`, without its ending.
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    flags: &'static str,
    sha: OnceLock<String>,
}

impl Script {
    pub(crate) const fn new(name: &'static str, source: &'static str, flags: &'static str) -> Self {
        Self { name, source, flags, sha: OnceLock::new() }
    }

    /// What `EVALSHA` calls it by.
    pub(crate) fn sha(&self) -> &str {
        self.sha.get_or_init(|| sha1_smol::Sha1::from(self.source).digest().to_string())
    }

    /// Whether the server itself refuses its writes.
    pub(crate) fn is_read_only(&self) -> bool {
        self.flags.contains("no-writes")
    }
}

/// `script!("cache/fill", include "wake", flags "allow-oom")`: the file `lua/cache/fill.lua` behind
/// `lua/lib/wake.lua`, joined by the compiler.
macro_rules! script {
    ($name:literal $(, include $lib:literal)* $(, flags $flags:literal)?) => {
        $crate::script::Script::new(
            $name,
            concat!(
                "#!lua", $(" flags=", $flags,)? "\n",
                $(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lua/lib/", $lib, ".lua")),)*
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lua/", $name, ".lua")),
            ),
            concat!($($flags)?),
        )
    };
}
pub(crate) use script;
