//! The filters of system calls: built once, laid on in the child. Pure.
//!
//! Lists of what is denied, not of what is allowed: the programs are somebody else's. What is denied answers EPERM, as it does for whoever lacks
//! the capability, and is what nobody needs who runs a program and has been the kernel's weak side: namespaces, mounts, tracing, keys, bpf.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use std::{collections::BTreeMap, sync::OnceLock};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Denied whatever the arguments are.
const DENIED: &[i64] = &[
    // mounts and roots
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // other namespaces
    libc::SYS_unshare,
    libc::SYS_setns,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // the kernel's own programs, keys and counters
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    // modules, reboot, swap, accounting
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // clocks
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // around permissions
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
];

#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS__sysctl,
    libc::SYS_ustat,
    libc::SYS_sysfs,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[i64] = &[];

#[cfg(target_arch = "x86_64")]
const FORKS_HERE: &[i64] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORKS_HERE: &[i64] = &[];

/// Flags of clone(2) that make namespaces; not `CLONE_NEWTIME`, whose bit is a signal number there.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// For a workflow. With `no_network`, sockets but Unix ones are denied too: for whoever cannot have a network namespace.
pub fn for_workflow(no_network: bool) -> Option<&'static [sock_filter]> {
    static PLAIN: OnceLock<Option<BpfProgram>> = OnceLock::new();
    static WITHOUT: OnceLock<Option<BpfProgram>> = OnceLock::new();
    let place = if no_network { &WITHOUT } else { &PLAIN };
    place
        .get_or_init(|| {
            let mut rules = denied(DENIED.iter().chain(DENIED_HERE));
            rules.insert(
                libc::SYS_clone,
                NAMESPACES
                    .iter()
                    .filter_map(|&flag| flag_is_set(0, flag))
                    .collect(),
            );
            rules.insert(libc::SYS_personality, odd_personality()?);
            if no_network {
                rules.insert(
                    libc::SYS_socket,
                    vec![SeccompRule::new(vec![domain_is_not(libc::AF_UNIX)?]).ok()?],
                );
            }
            compile(rules, SeccompAction::Errno(libc::EPERM.cast_unsigned()))
        })
        .as_deref()
}

/// For the indexer: of the above, and every way to another program or another process, none; what is tried ends the process.
pub fn for_indexer() -> Option<BpfProgram> {
    const MORE: &[i64] = &[
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept4,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_kill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_personality,
        libc::SYS_shmget,
        libc::SYS_memfd_create,
    ];
    let mut rules = denied(
        DENIED
            .iter()
            .chain(DENIED_HERE)
            .chain(MORE)
            .chain(FORKS_HERE),
    );
    let mut clones: Vec<SeccompRule> = NAMESPACES
        .iter()
        .filter_map(|&flag| flag_is_set(0, flag))
        .collect();
    clones.push(is_no_thread()?);
    rules.insert(libc::SYS_clone, clones);
    compile(rules, SeccompAction::KillProcess)
}

fn denied<'a>(numbers: impl Iterator<Item = &'a i64>) -> Rules {
    numbers.map(|&number| (number, Vec::new())).collect()
}

fn flag_is_set(argument: u8, flag: i32) -> Option<SeccompRule> {
    let flag = u64::try_from(flag).ok()?;
    SeccompRule::new(vec![
        SeccompCondition::new(argument, Len::Dword, Op::MaskedEq(flag), flag).ok()?,
    ])
    .ok()
}

/// A clone that is no thread: another process.
fn is_no_thread() -> Option<SeccompRule> {
    let flag = u64::try_from(libc::CLONE_THREAD).ok()?;
    SeccompRule::new(vec![
        SeccompCondition::new(0, Len::Dword, Op::MaskedEq(flag), 0).ok()?,
    ])
    .ok()
}

fn domain_is_not(domain: i32) -> Option<SeccompCondition> {
    SeccompCondition::new(0, Len::Dword, Op::Ne, u64::try_from(domain).ok()?).ok()
}

/// All but asking (0xffffffff), `PER_LINUX`, and switching off randomisation, which debuggers and some run times do to themselves.
fn odd_personality() -> Option<Vec<SeccompRule>> {
    let is_not = |value: u64| SeccompCondition::new(0, Len::Dword, Op::Ne, value).ok();
    let conditions = vec![
        is_not(0xffff_ffff)?,
        is_not(0)?,
        is_not(u64::try_from(libc::ADDR_NO_RANDOMIZE).ok()?)?,
    ];
    Some(vec![SeccompRule::new(conditions).ok()?])
}

/// What is ours stands in front of the rules that look at arguments: the x32 calls of x86-64 have the same architecture and other
/// numbers, and clone3 keeps its flags where no filter can look. Both do not exist here (ENOSYS), so that libraries use clone. Then the
/// numbers that are denied whatever the arguments are, as a tree: when a filter is laid on, the kernel walks through it once for every
/// system call there is, and each start pays for that.
fn compile(rules: Rules, action: SeccompAction) -> Option<BpfProgram> {
    const X32: u32 = 0x4000_0000;
    let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
    let (plain, looked_at): (Rules, Rules) = rules
        .into_iter()
        .partition(|(_, conditions)| conditions.is_empty());
    let denied = plain
        .keys()
        .map(|&number| u32::try_from(number).ok())
        .collect::<Option<Vec<u32>>>()?;
    let refusal = u32::from(action.clone());
    let listed: BpfProgram = SeccompFilter::new(looked_at, SeccompAction::Allow, action, arch)
        .ok()?
        .try_into()
        .ok()?;
    let clone3 = u32::try_from(libc::SYS_clone3).ok()?;
    let enosys = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let mut program = vec![
        line(LOAD, 0, 0, 0),
        line(JUMP_EQUAL, 1, 0, clone3),
        line(JUMP_AT_LEAST, 0, 1, X32),
        line(RETURN, 0, 0, enosys),
    ];
    let start = program.len();
    search(&denied, refusal, &mut program)?;
    let end = program.len();
    for (at, one) in program.iter_mut().enumerate().skip(start) {
        if one.code == JUMP {
            one.k = u32::try_from(end - at - 1).ok()?;
        }
    }
    program.extend(listed);
    Some(program)
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
/// So few are compared one by one.
const LEAF: usize = 4;

fn line(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Refuses the loaded number if it is one of these, which are sorted; else goes to the end (jumps there are filled in by the caller).
fn search(numbers: &[u32], refusal: u32, program: &mut BpfProgram) -> Option<()> {
    if numbers.len() <= LEAF {
        for &number in numbers {
            program.push(line(JUMP_EQUAL, 0, 1, number));
            program.push(line(RETURN, 0, 0, refusal));
        }
        program.push(line(JUMP, 0, 0, 0));
        return Some(());
    }
    let (low, high) = numbers.split_at(numbers.len() / 2);
    let at = program.len();
    program.push(line(JUMP_AT_LEAST, 0, 0, *high.first()?));
    search(low, refusal, program)?;
    program[at].jt = u8::try_from(program.len() - at - 1).ok()?;
    search(high, refusal, program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_built_here() {
        assert!(for_workflow(false).is_some_and(|filter| filter.len() < 1000));
        assert!(for_workflow(true).is_some());
        assert!(for_indexer().is_some());
    }

    /// What a program of jumps and returns says of a number. Pure.
    fn verdict(program: &[sock_filter], number: u32) -> Option<u32> {
        let mut at = 0;
        loop {
            let one = program.get(at)?;
            let is = |yes: bool| usize::from(if yes { one.jt } else { one.jf });
            at += 1 + match one.code {
                LOAD => 0,
                JUMP => one.k as usize,
                JUMP_EQUAL => is(number == one.k),
                JUMP_AT_LEAST => is(number >= one.k),
                RETURN => return Some(one.k),
                _ => return None,
            };
        }
    }

    #[test]
    fn exactly_the_numbers_of_the_list_are_refused() {
        for many in [0, 1, 4, 5, 63, 64] {
            let numbers: Vec<u32> = (0..many).map(|number| 3 + 5 * number).collect();
            let mut program = vec![line(LOAD, 0, 0, 0)];
            search(&numbers, 7, &mut program).expect("a program");
            let end = program.len();
            for (at, one) in program.iter_mut().enumerate() {
                if one.code == JUMP {
                    one.k = u32::try_from(end - at - 1).expect("short");
                }
            }
            program.push(line(RETURN, 0, 0, 1));
            for number in 0..400 {
                let expected = if numbers.contains(&number) { 7 } else { 1 };
                assert_eq!(
                    verdict(&program, number),
                    Some(expected),
                    "{number} of {many}"
                );
            }
        }
    }
}
