package store

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnanswered makes a connection fail if what was sent is not acknowledged
// within peerTimeout (tcp(7), TCP_USER_TIMEOUT); by default that takes a quarter of
// an hour.
func limitUnanswered(_, _ string, c syscall.RawConn) error {
	var err error
	if controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(peerTimeout.Milliseconds()))
	}); controlErr != nil {
		return controlErr
	}
	return err
}
