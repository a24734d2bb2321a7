//! Which variables a manifest may not set: whoever may deploy chooses what runs, and not what it loads. A name comes in, why not goes
//! out. Pure.
//!
//! Sources: ld.so(8), bash(1), python3(1), node(1), perlrun(1), ruby(1), erlexec(1), the scripts of Elixir's releases, the launcher of
//! Java, lua(1), dotnet's host, git(1), openssl(1), make(1).

/// Whole families, by what their names begin with.
const FAMILIES: &[&str] = &[
    "BASH_", "BUNDLE_", "CORECLR_", "DOTNET_", "DYLD_", "ERL_", "GIT_", "GUILE_", "LD_", "LUA_",
    "NPM_", "OPENSSL_", "PERL", "PYTHON", "RELX_", "RUBY",
];

/// Members of a family that load nothing.
const HARMLESS: &[&str] = &[
    "DOTNET_CLI_TELEMETRY_OPTOUT",
    "DOTNET_ENVIRONMENT",
    "DOTNET_GCHeapHardLimit",
    "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT",
    "ERL_CRASH_DUMP",
    "ERL_CRASH_DUMP_BYTES",
    "ERL_CRASH_DUMP_NICE",
    "ERL_CRASH_DUMP_SECONDS",
    "ERL_EPMD_ADDRESS",
    "ERL_EPMD_PORT",
    "ERL_EPMD_RELAXED_COMMAND_CHECK",
    "ERL_MAX_ETS_TABLES",
    "ERL_MAX_PORTS",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_TERMINAL_PROMPT",
    "PERL_HASH_SEED",
    "PERL_SIGNALS",
    "PERL_UNICODE",
    "PYTHONASYNCIODEBUG",
    "PYTHONCOERCECLOCALE",
    "PYTHONDEVMODE",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED",
    "PYTHONINTMAXSTRDIGITS",
    "PYTHONIOENCODING",
    "PYTHONMALLOC",
    "PYTHONNODEBUGRANGES",
    "PYTHONNOUSERSITE",
    "PYTHONOPTIMIZE",
    "PYTHONSAFEPATH",
    "PYTHONTRACEMALLOC",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
];

/// Single ones: what is loaded, which program is found or called, where a program's own start-up files lie.
const LOADERS: &[&str] = &[
    "BASHOPTS",
    "BINDIR",
    "BROWSER",
    "BUN_OPTIONS",
    "CLASSPATH",
    "EDITOR",
    "ELIXIR_ERL_OPTIONS",
    "EMU",
    "ENV",
    "FPATH",
    "GCONV_PATH",
    "GEM_HOME",
    "GEM_PATH",
    "GIO_EXTRA_MODULES",
    "GIO_MODULE_DIR",
    "GLIBC_TUNABLES",
    "GST_PLUGIN_PATH",
    "GTK_MODULES",
    "GTK_PATH",
    "HOME",
    "IFS",
    "JAVA_HOME",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JRE_HOME",
    "LESSCLOSE",
    "LESSOPEN",
    "MAKEFILES",
    "MAKEFLAGS",
    "MANPAGER",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_REPL_EXTERNAL_MODULE",
    "PAGER",
    "PATH",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PROGNAME",
    "PROMPT_COMMAND",
    "PS4",
    "QT_PLUGIN_PATH",
    "QT_QPA_PLATFORM_PLUGIN_PATH",
    "RELEASE_BOOT_SCRIPT",
    "RELEASE_BOOT_SCRIPT_CLEAN",
    "RELEASE_PROG",
    "RELEASE_REMOTE_VM_ARGS",
    "RELEASE_ROOT",
    "RELEASE_SYS_CONFIG",
    "RELEASE_TMP",
    "RELEASE_VM_ARGS",
    "ROOTDIR",
    "R_ENVIRON",
    "R_ENVIRON_USER",
    "R_LIBS",
    "R_LIBS_USER",
    "R_PROFILE",
    "R_PROFILE_USER",
    "SHELLOPTS",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "TCLLIBPATH",
    "TCL_LIBRARY",
    "VISUAL",
    "VMARGS_PATH",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

/// Why a manifest may not set a variable: it would load code that nobody signed for this, or it is the agent's.
pub(super) fn forbidden(name: &str) -> Option<&'static str> {
    if name.starts_with("SWARM_") {
        return Some("the agent sets SWARM_*");
    }
    if name == "NOTIFY_SOCKET" {
        return Some("the agent sets it where [ready] asks for it");
    }
    // npm reads its settings in either case.
    let upper = name.to_ascii_uppercase();
    let is_of_a_family =
        FAMILIES.iter().any(|family| name.starts_with(family)) || upper.starts_with("NPM_CONFIG_");
    let loads = LOADERS.contains(&name) || is_of_a_family && !HARMLESS.contains(&name);
    loads.then_some("it says which code is loaded or which program is found")
}
