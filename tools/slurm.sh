#!/usr/bin/env bash
# A SLURM of one machine, to try jobs for clusters. As root, on Debian or Ubuntu, in a machine or container that may be spoiled.
#   tools/slurm.sh start    install if needed (apt), configure, start; ends when the machine is idle
#   tools/slurm.sh stop
set -euo pipefail
case ${1:-} in
start)
  command -v slurmctld >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends slurm-wlm munge >/dev/null; }
  host=$(hostname -s)
  read -r cpus memory < <(slurmd -C | sed -n 's/.*CPUs=\([0-9]*\).*RealMemory=\([0-9]*\).*/\1 \2/p')
  cat >/etc/slurm/slurm.conf <<EOF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES:4
EOF
  mkdir -p /var/spool/slurmctld /var/spool/slurmd /run/munge; chown munge: /run/munge; chmod 755 /run/munge
  pgrep -x munged >/dev/null || su -s /bin/sh munge -c /usr/sbin/munged
  sleep 1; pgrep -x slurmctld >/dev/null || slurmctld
  sleep 1; pgrep -x slurmd >/dev/null || slurmd
  for _ in {1..20}; do [[ $(sinfo --noheader --format=%T) == idle ]] && exec sinfo; sleep 1; done
  sinfo; exit 1;;
stop)
  for o in slurmd slurmctld; do [[ -f /run/$o.pid ]] && kill "$(cat /run/$o.pid)" || true; done
  pkill -x munged || true;;
*) sed -n '2,4s/^# //p' "$0"; exit 2;;
esac
