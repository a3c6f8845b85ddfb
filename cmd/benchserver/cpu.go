package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// cpu returns the CPU time of a process.
func cpu(pid int) time.Duration {
	s, _ := stat(pid)
	return s.cpu
}

// childrenCPU returns the CPU time of the children of a process, those that have
// ended too.
func childrenCPU(parent int) time.Duration {
	if parent == 0 {
		return 0
	}
	of, _ := stat(parent)
	sum := of.cpu + of.ended
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if s, ok := stat(pid); ok && s.parent == parent {
			sum += s.cpu
		}
	}
	return sum
}

// A status is a part of /proc/PID/stat (proc(5)).
type status struct {
	parent int
	// cpu is the time of the process, and ended that of its children that have
	// ended.
	cpu, ended time.Duration
}

// stat reads the status of a process; ok is false if it has ended.
func stat(pid int) (s status, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return status{}, false
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may contain spaces
	fields := strings.Fields(rest)             // from the third on
	if len(fields) < 15 {
		return status{}, false
	}
	s.parent, _ = strconv.Atoi(fields[1])
	ticks := func(i int) time.Duration {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		return time.Duration(n) * time.Second / 100
	}
	s.cpu, s.ended = ticks(11)+ticks(12), ticks(13)+ticks(14)
	return s, true
}

// postmaster returns the process id of a PostgreSQL on this machine.
func postmaster(ctx context.Context, database string) (int, error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	var backend int
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&backend); err != nil {
		return 0, err
	}
	s, _ := stat(backend)
	return s.parent, nil
}
