//! Files that people write: what is wrong is told all at once, each with its place and rule; nothing makes a reader panic.

use swarm_manifests::{bundle, manifest, problem::Problem, settings};

const BUNDLE: &str =
    "name = \"ramp\"\nversion = \"1.2.0\"\nengine = \"node\"\nentry = \"ramp.js\"\n";
const MANIFEST: &str = "version = \"1.2.0\"\n[on]\nall = true\n[run]\nmode = \"daemon\"\n";

/// Rule, line and column of each problem.
fn places(problems: &[Problem]) -> Vec<(&'static str, usize, usize)> {
    problems
        .iter()
        .map(|problem| (problem.rule.id, problem.line, problem.column))
        .collect()
}

fn rules(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.rule.id).collect()
}

fn bundle_rules(more: &str) -> Vec<&'static str> {
    rules(&bundle::read("bundle.toml", format!("{BUNDLE}{more}").as_bytes()).1)
}

fn manifest_rules(more: &str) -> Vec<&'static str> {
    rules(&manifest::read("manifests/web.toml", format!("{MANIFEST}{more}").as_bytes()).1)
}

#[test]
fn every_problem_of_a_file_is_told_at_once() {
    let text = "name = \"Ramp\"\nversion = \"1.2\"\nengin = \"node\"\nentry = \"/abs\"\nargs = [1, \"ok\"]\n[limits]\nmemory = \"64X\"\npids = -1\n";
    let problems = bundle::read("bundle.toml", text.as_bytes()).1;
    let want = [
        ("S-FILE-03", 1, 1),
        ("S-FILE-06", 1, 8),
        ("S-FILE-05", 2, 11),
        ("S-FILE-02", 3, 1),
        ("S-FILE-09", 4, 9),
        ("S-FILE-04", 5, 9),
        ("S-FILE-05", 7, 10),
        ("S-FILE-05", 8, 8),
    ];
    assert_eq!(places(&problems), want, "{problems:#?}");
    assert_eq!(
        problems[3].hint.as_deref(),
        Some("did you mean \"engine\"?")
    );
    assert_eq!(&text[problems[7].span.clone().expect("a place")], "-1");
}

#[test]
fn an_error_of_syntax_hides_no_other_problem() {
    let text = "name = \"ramp\"\nversion = \nengine = \"node\"\nentry = \"a\"\nwrong = 1\nname = \"twice\"\n";
    let problems = bundle::read("bundle.toml", text.as_bytes()).1;
    let found = places(&problems);
    assert!(found.contains(&("S-FILE-02", 5, 1)), "{problems:#?}");
    assert!(
        found
            .iter()
            .any(|place| (place.0, place.1) == ("S-FILE-01", 2)),
        "{problems:#?}"
    );
    assert!(
        found
            .iter()
            .any(|place| (place.0, place.1) == ("S-FILE-01", 6)),
        "{problems:#?}"
    );
    assert!(
        !found.iter().any(|place| place.0 == "S-FILE-03"),
        "{problems:#?}"
    );
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_its_own() {
    let problems = manifest::read(
        "manifests/web.toml",
        b"version = \"1.0.0\"\nmode = \"once\"\n[on]\nall = true\n[run]\nmode = \"once\"\n",
    )
    .1;
    assert_eq!(
        problems
            .iter()
            .map(|problem| problem.hint.as_deref())
            .collect::<Vec<_>>(),
        [Some("it belongs into [run]")]
    );
}

#[test]
fn what_is_no_text_of_ours_is_refused_before_it_is_parsed() {
    let refused = |bytes: &[u8]| places(&bundle::read("bundle.toml", bytes).1);
    assert_eq!(refused(&vec![b'#'; (1 << 20) + 1]), [("S-FILE-07", 0, 0)]);
    assert_eq!(
        refused(b"name = \"ramp\"\nx = \"\xff\"\n"),
        [("S-FILE-01", 2, 6)]
    );
    assert_eq!(
        refused("\u{feff}name = 1".as_bytes()),
        [("S-FILE-12", 1, 1)]
    );
    assert_eq!(bundle_rules("# \u{202e}\n"), ["S-FILE-12"]);
    assert_eq!(bundle_rules("args = [\"\\u202e\"]\n"), ["S-FILE-12"]);
}

#[test]
fn values_out_of_their_range_or_form_are_refused() {
    for (more, rule) in [
        ("args = [\"a\\u0000b\"]", "S-FILE-05"),
        ("[limits]\npids = 1.5", "S-FILE-04"),
        ("[limits]\npids = \"64\"", "S-FILE-04"),
        ("[limits]\npids = 99999999999999999999", "S-FILE-05"),
        ("[limits]\ncpu = \"0%\"", "S-FILE-05"),
        ("[limits]\ncpu = \"+5%\"", "S-FILE-05"),
        ("[stop]\ngrace = \"0s\"", "S-FILE-05"),
        ("[stop]\ngrace = \"1e99s\"", "S-FILE-05"),
        ("[stop]\nsignal = \"TERM\"", "S-FILE-05"),
        ("[ready]\ntcp = 0", "S-FILE-05"),
        (
            "[ready]\ntcp = 80\nhttp = \"http://127.0.0.1/\"",
            "S-FILE-05",
        ),
        ("[ready]\ntimeout = \"3s\"", "S-FILE-03"),
        ("[ready]\nnotify = false", "S-FILE-05"),
        ("[ready]\nlog-regex = \"port [0-9\"", "S-FILE-05"),
        ("[health]\nnotify = false", "S-FILE-05"),
        ("[health]\nlog = \"x\"", "S-FILE-02"),
        ("[install]\ncommand = []", "S-FILE-05"),
        ("[install]\nnetwork = true", "S-FILE-03"),
        ("user = \"root\"", "S-FILE-05"),
        ("ports = [\"9-8\"]", "S-FILE-05"),
        ("ports = [\"0\"]", "S-FILE-05"),
        ("workdir = \"state/../x\"", "S-FILE-09"),
        ("workdir = \"/srv\"", "S-FILE-09"),
        ("[requires]\nnode = \">=\"", "S-FILE-05"),
        ("[env]\nSWARM_BOX = \"x\"", "S-FILE-08"),
        ("[env]\n\"A=B\" = \"x\"", "S-FILE-06"),
        ("[sandbox]\nread = [\"etc\"]", "S-FILE-09"),
    ] {
        assert!(
            bundle_rules(more).contains(&rule),
            "{more}: {:?}",
            bundle_rules(more)
        );
    }
    assert_eq!(
        bundle_rules("[env]\nLD_PRELOAD = \"x.so\"\nNODE_OPTIONS = \"\""),
        Vec::<&str>::new(),
        "a bundle is signed code"
    );
}

#[test]
fn an_entry_is_a_clean_path_inside_the_bundle() {
    let refused = |entry: &str| {
        let text = BUNDLE.replace("\"ramp.js\"", &format!("'{entry}'"));
        !bundle::read("bundle.toml", text.as_bytes()).1.is_empty()
    };
    for entry in [
        "",
        "/bin/sh",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        ".git/x",
        "a/.GIT/b",
        "a\\b",
        "{label.x}/a",
    ] {
        assert!(refused(entry), "{entry:?}");
    }
    for entry in ["ramp.js", "bin/app-{arch}-{os}", "a b/ä.js"] {
        assert!(!refused(entry), "{entry:?}");
    }
}

#[test]
fn a_manifest_may_not_set_what_loads_code() {
    for name in [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONHOME",
        "BASH_ENV",
        "ENV",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "ERL_FLAGS",
        "ERL_AFLAGS",
        "ERL_ZFLAGS",
        "ERL_LIBS",
        "PERL5OPT",
        "PERL5LIB",
        "RUBYOPT",
        "RUBYLIB",
        "GCONV_PATH",
        "DYLD_INSERT_LIBRARIES",
        "PATH",
        "HOME",
        "IFS",
        "PS4",
        "SHELLOPTS",
        "BASHOPTS",
        "BASH_FUNC_ls",
        "PROMPT_COMMAND",
        "PYTHONUSERBASE",
        "PYTHONWARNINGS",
        "PYTHONBREAKPOINT",
        "PYTHONINSPECT",
        "BROWSER",
        "OPENSSL_CONF",
        "OPENSSL_MODULES",
        "ELIXIR_ERL_OPTIONS",
        "RELEASE_VM_ARGS",
        "RELX_CONFIG_PATH",
        "VMARGS_PATH",
        "ERL_INETRC",
        "BINDIR",
        "EMU",
        "LUA_INIT_5_4",
        "DOTNET_STARTUP_HOOKS",
        "JAVA_HOME",
        "npm_config_node_options",
        "GIT_SSH_COMMAND",
        "NOTIFY_SOCKET",
        "SWARM_BOX",
    ] {
        assert_eq!(
            manifest_rules(&format!("[env]\n{name} = \"x\"\n")),
            ["S-FILE-08"],
            "{name}"
        );
    }
    for name in [
        "LANG",
        "ENVIRONMENT",
        "TZ",
        "PORT",
        "DEBUG",
        "NODE_ENV",
        "PYTHONUNBUFFERED",
        "ERL_EPMD_PORT",
        "RELEASE_COOKIE",
        "RELEASE_NODE",
        "HTTPS_PROXY",
        "DATABASE_URL",
        "MY_PATH",
    ] {
        let rules = manifest_rules(&format!("[env]\n{name} = \"x\"\n"));
        assert_eq!(rules, Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn a_secret_is_named_by_a_variable_of_its_own_that_loads_no_code() {
    for (table, rules) in [
        ("[secrets]\nTOKEN = \"t\"\n", vec![]),
        ("[secrets]\nTOKEN = \"Not A Name\"\n", vec!["S-FILE-06"]),
        ("[secrets]\nTOKEN = 7\n", vec!["S-FILE-04"]),
        ("[secrets]\nBASH_ENV = \"t\"\n", vec!["S-FILE-08"]),
        ("[secrets]\nSWARM_STATE = \"t\"\n", vec!["S-FILE-08"]),
        (
            "[env]\nA = \"1\"\n[secrets]\nA = \"t\"\n",
            vec!["S-FILE-05"],
        ),
    ] {
        assert_eq!(manifest_rules(table), rules, "{table}");
    }
}

#[test]
fn what_is_not_built_yet_is_refused_by_its_own_rule() {
    let rollout = "[rollout]\nwaves = [\"5%\"]\n";
    assert_eq!(manifest_rules(rollout), ["S-FILE-10"]);
}

#[test]
fn a_schedule_is_for_once_and_has_to_be_one() {
    let rules_of = |run: &str| {
        let text = format!("version = \"1.2.0\"\n[on]\nall = true\n[run]\n{run}");
        let (manifest, problems) = manifest::read("manifests/web.toml", text.as_bytes());
        let schedule = manifest.and_then(|manifest| manifest.run.schedule);
        (
            schedule.map(|schedule| schedule.to_string()),
            rules(&problems),
        )
    };
    for good in ["Mon..Fri 02:00", "0 2 * * 1-5"] {
        let run = format!("mode = \"once\"\nschedule = \"{good}\"\n");
        assert_eq!(rules_of(&run), (Some(good.to_owned()), vec![]));
    }
    for bad in [
        "mode = \"daemon\"\nschedule = \"daily\"\n",
        "mode = \"once\"\nschedule = \"sometimes\"\n",
    ] {
        assert_eq!(rules_of(bad), (None, vec!["S-FILE-05"]), "{bad}");
    }
}

#[test]
fn metrics_need_an_address_and_a_port() {
    let listen = |text: &str| {
        let (settings, problems) = settings::read("agent.toml", text.as_bytes());
        (
            settings.and_then(|settings| settings.metrics),
            rules(&problems),
        )
    };
    let good = listen("[metrics]\nlisten = \"127.0.0.1:7702\"\n");
    assert_eq!(good, (Some("127.0.0.1:7702".to_owned()), vec![]));
    assert_eq!(
        listen("[metrics]\nlisten = \"7702\"\n"),
        (None, vec!["S-FILE-05"])
    );
}

#[test]
fn on_must_say_which_boxes() {
    let on = |on: &str| {
        let text = format!("version = \"1.0.0\"\n[on]\n{on}\n[run]\nmode = \"once\"\n");
        places(&manifest::read("manifests/web.toml", text.as_bytes()).1)
    };
    assert_eq!(on("all = true\ncount = 2"), []);
    assert_eq!(on(""), [("S-FILE-03", 2, 1)]);
    assert_eq!(on("count = 2"), [("S-FILE-03", 2, 1)]);
    assert_eq!(on("all = false"), [("S-FILE-05", 3, 7)]);
    assert_eq!(on("boxes = []"), [("S-FILE-05", 3, 9)]);
    assert_eq!(on("boxes = [\"lab-?\"]"), [("S-FILE-06", 3, 10)]);
    assert_eq!(
        on("where = 'gpu && site = \"x\"'"),
        [("S-SELECT-01", 3, 22)]
    );
    assert_eq!(
        on("where = \"site = \\\"x\\\"\""),
        [("S-SELECT-01", 3, 9)],
        "escaped: the whole text is marked"
    );
}

#[test]
fn a_manifest_is_called_after_its_file() {
    assert!(
        manifest::read("manifests/lab/web.toml", MANIFEST.as_bytes())
            .0
            .is_some_and(|manifest| manifest.workflow.as_str() == "web")
    );
    assert_eq!(
        rules(&manifest::read("manifests/Web.toml", MANIFEST.as_bytes()).1),
        ["S-FILE-06"]
    );
}

#[test]
fn urls_that_could_be_commands_are_refused() {
    let urls = |url: &str| {
        rules(
            &settings::read(
                "agent.toml",
                format!("[repository]\nurl = {url}\n").as_bytes(),
            )
            .1,
        )
    };
    for url in [
        "'-oProxyCommand=touch x'",
        "'ext::sh -c x'",
        "'ssh://-oProxyCommand=x/y'",
        "'ssh://-l@host/y'",
        "\"https://a/\\nb\"",
        "'git@host:x'",
        "'http://u:p@git.example/x'",
        "'https:///x'",
        "'relative/path'",
        "'file://relative'",
        "''",
        "['/srv/a', 'ftp://x/y']",
    ] {
        assert_eq!(urls(url), ["S-GIT-02"], "{url}");
    }
    for url in [
        "'/srv/deploy.git'",
        "['ssh://git@host:22/x.git', 'https://git.example/x']",
        "'http://u:p@127.0.0.1:80/x'",
        "'http://git.example/x'",
        "'file:///srv/x'",
    ] {
        assert_eq!(urls(url), Vec::<&str>::new(), "{url}");
    }
}

#[test]
fn a_map_without_tls_is_taken_on_loopback_only() {
    let map = |url: &str| {
        rules(&settings::read("agent.toml", format!("[map]\nurl = {url:?}\n").as_bytes()).1)
    };
    assert_eq!(map("http://127.0.0.1:7700"), Vec::<&str>::new());
    assert_eq!(map("http://[::1]:7700"), Vec::<&str>::new());
    assert_eq!(map("http://map.example:7700"), ["S-FILE-05"]);
    assert_eq!(map("http://127.0.0.1@map.example/"), ["S-FILE-05"]);
}

#[test]
fn deep_and_repeated_things_are_problems_and_no_crash() {
    let many = |text: &str| text.repeat(200_000);
    for text in [
        format!("{}a = 1", many("a.")),
        format!("[{}a]", many("a.")),
        format!("a = {}{}", many("["), many("]")),
        format!("a = {}1", many("{a=")),
        many("a=1\n"),
        many("=\n"),
        many("[a]\n"),
        many("\"\n"),
    ] {
        let problems = bundle::read("bundle.toml", text.as_bytes()).1;
        assert!(
            (1..=210).contains(&problems.len()),
            "{} problems",
            problems.len()
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in "[a-z\\[\\]{}=.\"'\n #0-9\u{202e}é-]{0,80}") {
        let _ = bundle::read("bundle.toml", text.as_bytes());
        let _ = manifest::read("manifests/x.toml", text.as_bytes());
        let _ = settings::read("agent.toml", text.as_bytes());
        let _ = swarm_manifests::policy::read("policy.toml", text.as_bytes());
    }
}

#[test]
fn the_control_socket_is_found_in_a_file_that_is_wrong_elsewhere() {
    let of = |text: &str| settings::control_of(text.as_bytes());
    let wanted = Some("/run/c.sock".into());
    assert_eq!(of("control = \"/run/c.sock\"\nbogus = 1\n"), wanted);
    assert_eq!(of("bogus = \ncontrol = \"/run/c.sock\"\n[users\nx"), wanted);
    assert_eq!(of("box = \"b\"\n[users]\ncontrol = \"/x\"\n"), None);
    assert_eq!(of("control = 3"), None);
    assert_eq!(settings::control_of(&[0xff, 0xfe]), None);
}

/// The rules, lines and messages of a manifest.
fn manifest_problems(text: &str) -> Vec<String> {
    let text = format!("version = \"1.0.0\"\n[on]\nall = true\n{text}");
    let (_, problems) = manifest::read("manifests/w.toml", text.as_bytes());
    let told = problems
        .iter()
        .map(|it| format!("{} {} {}", it.rule.id, it.line, it.message));
    told.collect()
}

#[test]
fn what_cannot_have_an_effect_is_refused_at_its_line() {
    let refused =
        |text: &str, wanted: &str| assert_eq!(manifest_problems(text), [wanted], "{text}");
    refused(
        "[run]\nmode = \"daemon\"\non-limit = \"restart\"\n",
        "S-FILE-14 6 on-limit: there is no time-limit",
    );
    refused(
        "[run]\nmode = \"once\"\ntime-limit = \"1s\"\non-limit = \"restart\"\n",
        "S-FILE-14 7 on-limit: a once is not started again",
    );
    refused(
        "[run]\nmode = \"once\"\n[restart]\ndelay = \"1s\"\n",
        "S-FILE-14 6 [restart]: a once is not started again",
    );
    refused(
        "[run]\nmode = \"daemon\"\n[restart]\ndelay = \"10m\"\nmax-delay = \"1m\"\n",
        "S-FILE-14 7 delay is longer than max-delay",
    );
    for good in [
        "[run]\nmode = \"once\"\ntime-limit = \"1s\"\non-limit = \"expire\"\n",
        "[run]\nmode = \"daemon\"\n[restart]\ndelay = \"3s\"\nmax-delay = \"0s\"\n",
        "[run]\nmode = \"daemon\"\n[restart]\ndelay = \"10m\"\n",
        "[run]\nmode = \"daemon\"\n[restart]\ndelay = \"1m\"\nmax-delay = \"1m\"\n",
    ] {
        assert!(
            manifest_problems(good).is_empty(),
            "{:?}",
            manifest_problems(good)
        );
    }
}

#[test]
fn a_delay_beyond_the_default_limit_is_its_own_limit() {
    let text = "version = \"1.0.0\"\n[on]\nall = true\n[run]\nmode = \"daemon\"\n[restart]\ndelay = \"10m\"\n";
    let (manifest, problems) = manifest::read("manifests/w.toml", text.as_bytes());
    let restart = manifest.unwrap_or_else(|| panic!("{problems:?}")).restart;
    assert_eq!(restart.max_delay, restart.delay);
}

#[test]
fn a_wrong_type_is_told_as_what_is_wanted_and_what_stands_there() {
    assert_eq!(
        manifest_problems("[run]\nmode = \"daemon\"\ntime-limit = 6\ninstances = \"2\"\n"),
        [
            "S-FILE-04 6 time-limit takes a text, and a whole number stands here",
            "S-FILE-04 7 instances takes a whole number, and a text stands here"
        ]
    );
}

#[test]
fn what_a_file_lacks_is_told_at_its_first_line() {
    let (_, problems) = manifest::read(
        "manifests/w.toml",
        b"version = \"1.0.0\"\n[on]\nall = true\n",
    );
    let places: Vec<_> = problems
        .iter()
        .map(|it| (it.rule.id, it.line, it.column))
        .collect();
    assert_eq!(places, [("S-FILE-03", 1, 1)], "{problems:?}");
}

#[test]
fn a_health_without_a_probe_is_told_those_that_health_has() {
    let text = "name = \"a\"\nversion = \"1.0.0\"\nengine = \"sh\"\nentry = \"a\"\n[health]\nevery = \"1s\"\n";
    let (_, problems) = bundle::read("bundle.toml", text.as_bytes());
    let hint = problems[0].hint.as_deref();
    assert_eq!(
        hint,
        Some("give one of notify, tcp, http, exec"),
        "{problems:?}"
    );
}

#[test]
fn a_placeholder_that_no_bundle_fills_is_found_in_an_engines_command() {
    let of = |word: &str| {
        let text = format!("[engines.mine]\ncommand = [\"/opt/mine\", \"{word}\"]\n");
        places(&settings::read("agent.toml", text.as_bytes()).1)
    };
    assert_eq!(of("{nope}"), [("S-BUNDLE-14", 2, 25)]);
    for good in ["{args}", "{entry}", "{label.site}", "{{nope}}"] {
        assert_eq!(of(good), [], "{good}");
    }
}

#[test]
fn a_path_of_the_box_is_absolute() {
    let of = |text: &str| places(&settings::read("agent.toml", text.as_bytes()).1);
    for (text, place) in [
        ("state = \"var\"\n", ("S-FILE-05", 1, 9)),
        ("control = \"./control.sock\"\n", ("S-FILE-05", 1, 11)),
        (
            "[webhook]\nlisten = \"127.0.0.1:1\"\nsecret-file = \"secret\"\n",
            ("S-FILE-05", 3, 15),
        ),
    ] {
        assert_eq!(of(text), [place], "{text}");
        assert_eq!(of(&text.replace(place_of(text), "\"/x\"")), [], "{text}");
    }
}

/// The last quoted value of a text.
fn place_of(text: &str) -> &str {
    let end = text.trim_end();
    &end[end[..end.len() - 1].rfind('"').unwrap_or(0)..]
}
