package store

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Unavailable reports whether an error of Open may end by itself: another process
// has the database file open, or the database does not listen yet, is starting,
// stopping or full, or only reads. A wrong password, an unknown database, a wrong key
// or a newer schema stay wrong.
func Unavailable(err error) bool {
	if errors.Is(err, ErrLocked) || errors.Is(err, errReadOnly) { // by another process; on a standby that is to be promoted
		return true
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	// What the server says is final, even if another address of the same name is
	// unreachable.
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "25006", // read_only_sql_transaction: a standby that is being promoted
			"53300",                   // too_many_connections
			"57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
			return true
		}
		return strings.HasPrefix(pg.Code, "08") // connection_exception
	}
	// A syscall.Errno is a net.Error too, that of a file that does not exist as well.
	var network *net.OpError
	var name *net.DNSError
	return errors.As(err, &network) || errors.As(err, &name) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
