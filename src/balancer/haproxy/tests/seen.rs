//! Recorded answers of HAProxy 2.6.12.

use super::super::{command::AdminState, seen::Seen};
use crate::balancer::Epoch;

const INFO: &str = "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 18351\nUptime_sec: 0\nnode: vm\n\
                    description: structure=abc\nStart_time_sec: 1795513891\n";
const STATE: &str = "1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
srv_agent_addr srv_agent_port
3 checkout 1 _gate 127.0.0.1 2 0 1 1 1 1 0 2 0 0 0 0 - 19999 - 0 0 - - 0
3 checkout 2 pod-a 127.0.0.1 0 0 0 0 1 8 2 0 6 0 0 0 - 18081 - 0 0 - - 0
3 checkout 3 pod-b 10.0.0.2 2 8 1 1 1 1 0 2 6 0 0 0 - 18082 - 0 0 - - 0
3 checkout 5 pod-6 ::1 0 1 1 1 0 1 0 0 0 0 0 0 - 18083 - 0 0 - - 0
3 checkout 6 Foreign_one 127.0.0.1 2 0 1 1 0 1 0 0 0 0 0 0 - 9 - 0 0 - - 0
3 checkout 7 _instead_east 127.0.0.1 0 5 1 1 2 1 0 0 8 0 0 0 - 1 - 0 0 - - 0
4 checkout_east 1 _standby_east 10.0.0.9 2 0 1 1 2 1 0 0 8 0 0 0 - 80 - 0 0 - - 0
";
const MAP: &str =
    "0x557421654fe0 east 30\n0x557421655030 west x\n0x557421655031 twice 1\n0x557421655032 twice 2";
const STAT: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,last_chk,cookie,
checkout,_gate,0,0,1,0,1,,gate,
checkout,pod-a,2,0,3,0,5,\"a, b\",d88cc541e62276c0,
checkout,pod-b,0,0,0,0,,,,
checkout,pod-6,0,0,0,0,,,9a0369f7fd50c613,
checkout,BACKEND,41,0,0,0,998,,SID,
checkout_east,_standby_east,3,0,7,0,8,,,
checkout_east,BACKEND,5,0,0,0,998,,,
";

#[test]
fn a_process_and_its_servers_are_read() {
    let seen = Seen::read(INFO, STATE, STAT, MAP).unwrap();
    assert_eq!(seen.epoch, Epoch { pid: 18_351, start: 1_795_513_891 });
    assert_eq!((seen.version.as_str(), seen.structure.as_deref()), ("2.6.12", Some("abc")));
    let server = |name: &str| seen.servers[name];
    let a = server("pod-a");
    assert_eq!((a.active, a.queued, a.maxconn, a.weight), (3, 2, 5, 0));
    assert!(!a.up && a.checked && a.cookie && !a.usable() && !a.idle());
    assert_eq!((server("pod-b").admin, server("pod-b").cookie), (AdminState::Drain, false));
    let six = server("pod-6");
    assert_eq!(
        (six.admin, six.address, six.checked),
        (AdminState::Maint, "[::1]:18083".parse().unwrap(), false)
    );
    assert_eq!(seen.foreign, ["Foreign_one"]);
    assert_eq!((seen.usable(), seen.held()), (0, 42), "one at the gate and 41 behind it");
    let (own, instead) = (seen.standbys["_standby_east"], seen.standbys["_instead_east"]);
    assert_eq!((own.admin, own.active, own.queued, own.maxconn), (AdminState::Ready, 7, 3, 8));
    assert_eq!((instead.admin, seen.standbys.len()), (AdminState::Maint, 2));
    let share = |name: &str, share| (name.to_owned(), share);
    let shares = [share("east", Some(30)), share("west", None), share("twice", None)];
    assert_eq!(seen.shares, shares.into());
    let none = Seen::read(INFO, STATE, STAT, "Unknown map identifier. Please use #<id> or <file>.").unwrap();
    assert!(none.shares.is_empty());
}

#[test]
fn no_request_is_held_while_a_replica_serves() {
    let state = STATE.replace("pod-b 10.0.0.2 2 8", "pod-b 10.0.0.2 2 0");
    assert_eq!(Seen::read(INFO, &state, STAT, MAP).unwrap().held(), 0);
}

#[test]
fn an_error_names_the_missing_field() {
    let error = Seen::read("Pid: x", STATE, STAT, MAP).unwrap_err();
    assert_eq!(error.to_string(), "HAProxy's answer to `show info` has no Pid");
    let error = Seen::read(INFO, "Permission denied", STAT, MAP).unwrap_err();
    assert_eq!(error.to_string(), "HAProxy's answer to `show servers state` has no header");
    let error = Seen::read(INFO, STATE, "# pxname,svname\n", MAP).unwrap_err();
    assert_eq!(error.to_string(), "HAProxy's answer to `show stat` has no scur");
}
