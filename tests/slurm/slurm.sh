#!/usr/bin/env bash
# A Slurm of two nodes on this machine, for tests: no systemd, no cgroups, no database. To be run as root.
set -u

usage() {
  cat <<'H'
usage: tests/slurm/slurm.sh install|start|stop|status     (state in $SLURM_TEST, default /tmp/xling-slurm)

install  Debian's slurmctld, slurmd and munge, by apt
start    munge, the controller and two node daemons; returns when both nodes are idle
stop     ends them; what is in the queue stays in the state
status   nodes and queue

After start:  export SLURM_CONF=$SLURM_TEST/slurm.conf
H
}

D=${SLURM_TEST:-/tmp/xling-slurm}
CPUS=${CPUS:-4}
H=$(hostname -s)
export SLURM_CONF=$D/slurm.conf
PIDS=(run/slurmd.n1.pid run/slurmd.n2.pid run/slurmctld.pid munge/munged.pid)

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2> /dev/null; }

configure() {
  mkdir -p "$D"/{state,spool/n1,spool/n2,run,log,munge}
  chmod 755 "$D"
  [ -s "$D/munge/munge.key" ] || { dd if=/dev/urandom of="$D/munge/munge.key" bs=1 count=1024 status=none; chmod 600 "$D/munge/munge.key"; }
  chown -R root:root "$D/munge"
  chmod 755 "$D/munge"
  # Why some lines are as they are:
  #   AuthInfo          a munge of our own; credentials must expire soon, else a job that is requeued waits two minutes
  #   proctrack, task   work without cgroups
  #   SlurmdParameters  offer more processors than there are
  #   preempt_send_...  at preemption the signal of sbatch --signal is sent, not SIGTERM
  #   Port, spool/%n    two daemons on one machine
  cat > "$SLURM_CONF" <<C
ClusterName=xling
SlurmctldHost=$H(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$D/munge/munge.sock,cred_expire=5
CryptoType=crypto/munge
SlurmctldPort=${PORT:-16817}
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
KillWait=5
MinJobAge=3600
InactiveLimit=0
Waittime=0
NodeName=n1 NodeHostname=$H NodeAddr=127.0.0.1 Port=$((${PORT:-16817} + 1)) CPUs=$CPUS RealMemory=4000 State=UNKNOWN
NodeName=n2 NodeHostname=$H NodeAddr=127.0.0.1 Port=$((${PORT:-16817} + 2)) CPUs=$CPUS RealMemory=4000 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
C
}

case ${1:-} in
  install)
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge ;;
  start)
    configure
    alive "$D/munge/munged.pid" || munged --force --key-file="$D/munge/munge.key" --socket="$D/munge/munge.sock" \
      --pid-file="$D/munge/munged.pid" --log-file="$D/munge/munged.log" --seed-file="$D/munge/munged.seed" --num-threads=2 || exit 1
    alive "$D/run/slurmctld.pid" || slurmctld -c -f "$SLURM_CONF" || exit 1
    for node in n1 n2; do
      alive "$D/run/slurmd.$node.pid" || slurmd -N $node -f "$SLURM_CONF" || exit 1
    done
    for _ in $(seq 120); do
      [ "$(sinfo --noheader --partition=low --format=%T --Node 2> /dev/null | grep -c idle)" != 2 ] || { sinfo -N -l; exit 0; }
      sleep 0.5
    done
    echo "slurm.sh: the nodes do not become idle; see $D/log" >&2
    exit 1 ;;
  stop)
    for pid in "${PIDS[@]}"; do
      alive "$D/$pid" || continue
      number=$(cat "$D/$pid")
      kill "$number"
      for _ in $(seq 40); do kill -0 "$number" 2> /dev/null || break; sleep 0.25; done
    done ;;
  status) sinfo -N -l; squeue ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
