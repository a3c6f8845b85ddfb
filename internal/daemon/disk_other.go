//go:build !linux

package daemon

import "errors"

func diskOf(string) (free uint64, network string, err error) {
	return 0, "", errors.ErrUnsupported
}
