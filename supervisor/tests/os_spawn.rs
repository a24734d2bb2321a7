//! What a started process is, and what it may: real processes, as root (each as a user of its own) and as an ordinary user.

mod os_world;

use os_world::{World, root};
use swarm_manifests::{bundle::Network, status::LastExit};

const UID: u32 = 64_777;

#[test]
fn a_process_gets_its_arguments_environment_folder_and_nothing_else() {
    let world = World::new();
    let mut launch = world.shell(
        "echo \"$0 $1\"; pwd; env | sort; cat <&0 | wc -c; ls /proc/self/fd | wc -l",
        UID,
    );
    launch.argv.extend(["zero".into(), "a b".into()]);
    launch.env.insert("WHAT".into(), "it is".into());
    let done = world.run(launch);
    assert_eq!(done.exit, LastExit::Code { code: 0 }, "{}", done.err);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines[0], "zero a b");
    assert_eq!(lines[1], world.state.to_str().expect("text"));
    assert!(lines.contains(&"WHAT=it is"));
    assert!(!done.out.contains("CARGO"), "nothing of ours: {}", done.out);
    // 0, 1, 2 and the folder that ls reads.
    assert_eq!(lines[lines.len() - 1].trim(), "4");
    assert_eq!(lines[lines.len() - 2].trim(), "0");
}

#[test]
fn no_descriptor_of_ours_is_inherited_even_without_close_on_exec() {
    let world = World::new();
    let leaky = std::fs::File::open("/etc/passwd").expect("open");
    nix::fcntl::fcntl(
        &leaky,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .expect("flag");
    let done = world.run(world.shell("ls -l /proc/self/fd", UID));
    assert!(!done.out.contains("passwd"), "{}", done.out);
}

#[test]
fn it_leads_a_session_of_its_own_without_ignored_or_blocked_signals() {
    let world = World::new();
    let done = world.run(world.shell(
        "exec grep -E '^(NSsid|NSpid|Sig(Ign|Blk))' /proc/self/status",
        UID,
    ));
    let field = |name: &str| {
        let line = done
            .out
            .lines()
            .find(|line| line.starts_with(name))
            .expect("the field");
        line.split_ascii_whitespace()
            .nth(1)
            .expect("a value")
            .to_owned()
    };
    assert_eq!(field("NSsid"), field("NSpid"));
    assert_eq!(field("SigIgn"), "0000000000000000");
    assert_eq!(field("SigBlk"), "0000000000000000");
}

#[test]
fn a_program_that_is_not_there_is_named_and_leaves_nothing() {
    let world = World::new();
    let mut launch = world.shell("", UID);
    launch.argv = vec!["no-such-program".into()];
    let error = world.spawn(launch).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "execute no-such-program: No such file or directory"
    );
    let mut launch = world.shell("true", UID);
    launch.workdir = "/no/such/folder".into();
    let error = world.spawn(launch).expect_err("refused");
    assert_eq!(error.step, "enter the working directory /no/such/folder");
}

#[test]
fn nothing_runs_as_root() {
    if !root() {
        return;
    }
    let world = World::new();
    let mut launch = world.shell("id", UID);
    launch.user = None;
    assert!(
        world
            .spawn(launch)
            .expect_err("refused")
            .to_string()
            .contains("nothing runs as root")
    );
    let done = world.run(world.shell("id -u; id -g; id -G", UID));
    assert_eq!(done.out, "64777\n64777\n64777\n");
}

#[test]
fn it_has_no_privileges_and_cannot_get_any() {
    let world = World::new();
    let done = world.run(world.shell(
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
        UID,
    ));
    for line in done.out.lines() {
        let (name, value) = line.split_once(":\t").expect("a field");
        match name {
            "NoNewPrivs" => assert_eq!(value, "1"),
            "Seccomp" => assert_eq!(value, "2"),
            "CapBnd" if !root() => {}
            _ => assert_eq!(value, "0000000000000000", "{name}"),
        }
    }
    // su and mount are setuid programs.
    let done = world.run(world.shell(
        "su -c id root </dev/null; echo $?; mount -t tmpfs x /mnt; echo $?",
        UID,
    ));
    assert!(!done.out.contains("uid=0"), "{}", done.out);
}

#[test]
fn what_the_kernel_offers_the_curious_answers_not_permitted() {
    let world = World::new();
    let program = "
import ctypes, errno, os, platform, sys
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == 'x86_64'
calls = {'mount': 165 if x86 else 40, 'unshare': 272 if x86 else 97, 'ptrace': 101 if x86 else 117, 'bpf': 321 if x86 else 280,
  'keyctl': 250 if x86 else 219, 'userfaultfd': 323 if x86 else 282, 'perf_event_open': 298 if x86 else 241,
  'clock_settime': 227 if x86 else 112, 'init_module': 175 if x86 else 105, 'reboot': 169 if x86 else 142,
  'setns': 308 if x86 else 268, 'chroot': 161 if x86 else 51, 'open_by_handle_at': 304 if x86 else 265,
  'process_vm_readv': 310 if x86 else 270, 'io_uring_setup': 425, 'pidfd_getfd': 438}
for name, number in calls.items():
    libc.syscall(number, 0, 0, 0, 0, 0)
    print(name, errno.errorcode.get(ctypes.get_errno()))
libc.syscall(435, 0, 0); print('clone3', errno.errorcode[ctypes.get_errno()])
libc.syscall(56 if x86 else 220, 0x10000000 | 17, 0, 0, 0, 0); print('clone', errno.errorcode[ctypes.get_errno()])
if x86:
    libc.syscall(0x40000000 + 165, 0, 0, 0, 0, 0); print('x32', errno.errorcode[ctypes.get_errno()])
";
    let mut launch = world.shell("", UID);
    launch.argv = vec!["python3".into(), "-c".into(), program.into()];
    let done = world.run(launch);
    assert!(done.out.lines().count() >= 18, "{}{}", done.out, done.err);
    for line in done.out.lines() {
        let wanted = if line.starts_with("clone3") || line.starts_with("x32") {
            "ENOSYS"
        } else {
            "EPERM"
        };
        assert!(line.ends_with(wanted), "{line}");
    }
}

#[test]
fn it_reads_what_is_its_own_and_the_system_and_nothing_else() {
    let world = World::new();
    let other = world.folder("workflows/other/0", UID + 1);
    std::fs::write(other.join("secret"), "canary").expect("written");
    std::fs::write(world.top.join("trust.json"), "canary").expect("written");
    let script = format!(
        "cat /etc/shadow; cat {other}/secret; cat {top}/trust.json; ls {top}; ls {top}/workflows/other; \
         cat /etc/hostname >/dev/null && echo system; cat {bundle}/main && echo >{state}/mine && echo own",
        other = other.display(),
        top = world.top.display(),
        bundle = world.bundle.display(),
        state = world.state.display()
    );
    let done = world.run(world.shell(&script, UID));
    assert!(
        !done.out.contains("canary") && !done.out.contains("trust.json"),
        "{}",
        done.out
    );
    assert!(
        done.out.contains("system\n")
            && done.out.contains("the bundle\n")
            && done.out.ends_with("own\n"),
        "{}{}",
        done.out,
        done.err
    );
}

#[test]
fn it_writes_below_its_state_and_a_private_tmp_and_nowhere_else() {
    let world = World::new();
    let script = format!(
        "for f in /usr/x /etc/x /opt/x /var/tmp/x /dev/x /run/x {bundle}/x {bundle}/main {top}/x; do (echo x >$f) 2>/dev/null && echo wrote $f; done; \
         echo kept >{state}/kept; [ \"$(id -u)\" != 64777 ] || {{ echo >/tmp/mine; ls -a /tmp; echo >/dev/shm/mine; }}; echo >/dev/null; echo out >/dev/stdout; echo done",
        bundle = world.bundle.display(),
        top = world.top.display(),
        state = world.state.display()
    );
    let done = world.run(world.shell(&script, UID));
    assert!(!done.out.contains("wrote"), "{}", done.out);
    assert!(
        done.out.ends_with("out\ndone\n"),
        "{}{}",
        done.out,
        done.err
    );
    assert_eq!(
        std::fs::read_to_string(world.state.join("kept")).expect("kept"),
        "kept\n"
    );
    if root() {
        assert!(done.out.contains("mine\n"), "{}", done.out);
        assert!(!std::path::Path::new("/tmp/mine").exists());
    }
}

#[test]
fn a_state_below_a_folder_that_its_user_may_not_pass_works_at_its_real_name() {
    // World makes everything below a folder of mode 0700 in the real /tmp.
    let world = World::new();
    let done = world.run(world.shell(
        "cd /; cd \"$SWARM_STATE\" && echo hello >file && cat file",
        UID,
    ));
    assert_eq!(done.out, "hello\n", "{}", done.err);
    assert_eq!(
        std::fs::read_to_string(world.state.join("file")).expect("written"),
        "hello\n"
    );
}

#[test]
fn without_a_network_there_is_a_loopback_of_its_own_and_nothing_else() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("bound").port();
    let program = "
import socket, sys
def tried(what):
    try: what(); return 'yes'
    except OSError as e: return 'no'
def tcp(): socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)
def udp(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))
def unix(): socket.socketpair()
def own():
    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); socket.create_connection(s.getsockname(), 2)
print('tcp', tried(tcp), 'udp', tried(udp), 'unix', tried(unix), 'own', tried(own))
";
    let mut launch = world.shell("", UID);
    launch.argv = vec![
        "python3".into(),
        "-c".into(),
        program.into(),
        port.to_string().into(),
    ];
    launch.sandbox.network = Network::None;
    let done = world.run(launch);
    let own = if root() { "yes" } else { "no" };
    assert_eq!(
        done.out,
        format!("tcp no udp no unix yes own {own}\n"),
        "{}",
        done.err
    );
}

#[test]
fn core_dumps_are_off_and_limits_are_on() {
    let world = World::new();
    let mut launch = world.shell("ulimit -c; ulimit -n; kill -SEGV $$", UID);
    launch.limits.open_files = Some(77);
    let done = world.run(launch);
    assert_eq!(done.out, "0\n77\n");
    assert_eq!(
        done.exit,
        LastExit::Signal {
            signal: "SIGSEGV".into()
        }
    );
}

#[test]
fn few_open_files_are_enough_however_many_descriptors_we_have() {
    let world = World::new();
    let file = std::fs::File::open("/etc/passwd").expect("a file");
    let many: Vec<_> = (0..200)
        .map(|_| file.try_clone().expect("a copy"))
        .collect();
    let mut launch = world.shell("ulimit -n; ulimit -Hn", UID);
    launch.limits.open_files = Some(50);
    let done = world.run(launch);
    assert_eq!(done.out, "50\n50\n", "{}", done.err);
    drop(many);
}

#[test]
fn a_probe_enters_the_rooms_of_the_running_process() {
    if !root() {
        return;
    }
    let world = World::new();
    let mut launch = world.shell("echo there >/tmp/note; echo up; sleep 60", UID);
    launch.sandbox.network = Network::None;
    let child = world.spawn(launch).expect("started");
    world.wait_for("up\n");
    let held = std::sync::Arc::new(child.pidfd);
    let mut probe = world.shell("cat /tmp/note; readlink /proc/self/ns/net", UID);
    probe.join = Some(held.clone());
    let done = world.run(probe);
    let theirs = std::fs::read_link(format!("/proc/{}/ns/net", child.pid)).expect("a namespace");
    assert_eq!(
        done.out,
        format!("there\n{}\n", theirs.display()),
        "{}",
        done.err
    );
    held.signal(libc::SIGKILL).expect("killed");
    world.wait(&held);
}

#[test]
fn a_granted_folder_is_seen_as_it_was_granted() {
    let world = World::new();
    let (data, notes) = (world.folder("data", UID), world.folder("notes", UID));
    std::fs::write(notes.join("note"), "read me\n").expect("written");
    let mut launch = world.shell(
        &format!(
            "cat {n}/note; echo x >{n}/no; echo x >{d}/yes",
            n = notes.display(),
            d = data.display()
        ),
        UID,
    );
    launch.sandbox.read = vec![notes.to_str().expect("text").into()];
    launch.sandbox.write = vec![data.to_str().expect("text").into()];
    let done = world.run(launch);
    assert_eq!(done.out, "read me\n", "{}", done.err);
    assert!(data.join("yes").exists() && !notes.join("no").exists());
}

#[test]
fn the_protections_are_read_back_from_the_kernel() {
    let world = World::new();
    let child = world.spawn(world.shell("sleep 60", UID)).expect("started");
    let said = swarm_supervisor::os::protections::read_back(child.pid);
    let words: Vec<String> = said.words().map(str::to_owned).collect();
    assert!(
        words.contains(&"no new privileges".into()) && words.contains(&"seccomp".into()),
        "{words:?}"
    );
    assert!(words.contains(&"no capabilities".into()), "{words:?}");
    assert_eq!(words.contains(&format!("own user {UID}")), root());
    assert_eq!(words.contains(&"private mounts".into()), root());
    assert_eq!(child.missing.is_empty(), root(), "{:?}", child.missing);
    child.pidfd.signal(libc::SIGKILL).expect("killed");
    world.wait(&child.pidfd);
}

#[test]
fn the_agent_sees_the_box_and_has_no_privilege() {
    if !root() {
        return;
    }
    let world = World::new();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("socketpair");
    let config = world.top.join("agent.toml");
    std::fs::write(&config, "box = \"b\"\n").expect("written");
    let script = format!(
        "id -u; cat {}; echo x >/tmp/swarm-agent-was-here; rm /tmp/swarm-agent-was-here; ls /proc/self/fd; echo hello >&3",
        config.display()
    );
    let mut launch = world.shell(&script, UID);
    launch.profile = swarm_supervisor::os::launch::Profile::Agent;
    launch.hide.clear();
    launch.read.push(config);
    launch.extra = Some(theirs.into());
    let done = world.run(launch);
    // World lies below a folder of mode 0700 in /tmp, which it may not pass: only that folder is covered.
    assert!(
        done.out.starts_with("64777\nbox = \"b\"\n0\n1\n2\n3\n"),
        "{}{}",
        done.out,
        done.err
    );
    let mut said = String::new();
    std::io::Read::read_to_string(&mut &ours, &mut said).expect("read");
    assert_eq!(said, "hello\n");
}

#[test]
fn an_ordinary_user_gets_all_of_this_as_far_as_it_goes() {
    os_world::again_as_ordinary_user("an_ordinary_user_gets");
}
