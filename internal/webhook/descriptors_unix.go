//go:build unix

package webhook

import "syscall"

// descriptors returns how many file descriptors this process may have. Go raises
// the limit to what the system allows.
func descriptors() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1024 // the least that systems of today allow
	}
	return int(min(uint64(l.Cur), 1<<20))
}
