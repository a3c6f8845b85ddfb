//go:build !linux

package store

import "syscall"

// limitUnanswered leaves the system's limit.
func limitUnanswered(string, string, syscall.RawConn) error { return nil }
