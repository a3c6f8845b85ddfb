package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
)

// Options are settings for PostgreSQL. SQLite has none of them.
type Options struct {
	// Connections is the maximum number of connections; if 0, pool_max_conns of the
	// database's name, or DefaultConnections.
	Connections int
	// ConnectionLife is how long a connection is used; if 0,
	// pool_max_conn_lifetime of the database's name, or DefaultConnectionLife.
	ConnectionLife time.Duration
	// Wait is how long a call waits for a connection; if 0, DefaultWait.
	Wait time.Duration
	// Schema has all tables; if empty, DefaultSchema.
	Schema string
	// MigrateDB is a name of the same database for migrations, by another role or
	// past a pooler; if empty, the database's own.
	MigrateDB string
}

// Defaults of Options.
const (
	DefaultConnections    = 16
	DefaultConnectionLife = 30 * time.Minute
	DefaultWait           = 10 * time.Second
	DefaultSchema         = migrations.DefaultSchema
)

const (
	// connectTimeout is how long one host may take to accept a connection; the name
	// of the database may have another connect_timeout.
	connectTimeout = 4 * time.Second
	// pingTimeout is how long a connection that was idle for pingAfter may take to
	// answer before it is used again.
	pingTimeout = 3 * time.Second
	pingAfter   = time.Second
	// maxIdle is how long a connection stays open without use.
	maxIdle = 5 * time.Minute
	// peerTimeout is about how long a host that is gone without a word stays
	// unnoticed.
	peerTimeout = 5 * time.Second
	// transactionTimeout is how long a transaction or a query may take. Behind a proxy
	// a server may stop to answer and keep its connections, which would never be free
	// again. The HTTP server's own timeout is the same.
	transactionTimeout = 30 * time.Second
	// growAfter is how long a limit of the server, which the pool has met, is kept
	// to before one more connection is tried.
	growAfter = 5 * time.Second
)

var schemaNames = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// CheckSchema returns an error unless a schema may have that name.
func CheckSchema(name string) error {
	if !schemaNames.MatchString(name) || strings.HasPrefix(name, "pg_") {
		return fmt.Errorf("a schema has 1 to 63 small letters, digits and _, does not begin with a digit or pg_, and is not %q", name)
	}
	return nil
}

// A pool hands out connections to PostgreSQL. It is a driver.Connector of the
// database/sql pool that it fills.
//
// All connections are made anew when one of them shows that its server is gone, or
// only reads: after a switch-over, the address leads elsewhere.
type pool struct {
	stdlib driver.Connector
	db     *sql.DB
	// wait is Options.Wait, life is Options.ConnectionLife, and timeout is
	// transactionTimeout, or another in tests.
	wait, life, timeout time.Duration
	// max is the maximum number of connections that is configured.
	max int
	// generation grows when connections that were made before are not to be used
	// any more.
	generation atomic.Int64
	// pooler reports whether a connection was seen whose transactions are executed
	// by different processes of PostgreSQL, as those of PgBouncer are.
	pooler atomic.Bool

	mu sync.Mutex
	// limit is how many connections the server is believed to allow, at most max.
	// limitedAt is when that was last lowered or raised.
	limit     int
	limitedAt time.Time
}

// openPool returns a pool for a name that ParseName calls one of PostgreSQL. It does
// not connect.
func openPool(name string, o Options) (*pool, error) {
	config, err := parsePostgres(name)
	if err != nil {
		return nil, err
	}
	p := &pool{max: config.connections, life: config.life, wait: DefaultWait, timeout: transactionTimeout}
	if o.Connections > 0 {
		p.max = o.Connections
	}
	if o.ConnectionLife > 0 {
		p.life = o.ConnectionLife
	}
	if o.Wait > 0 {
		p.wait = o.Wait
	}
	c := config.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	c.DialFunc = dial
	c.ValidateConnect = validate(c.ValidateConnect)
	c.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		return &watched{Conn: conn, lost: p.discard}, nil
	}
	onError := c.OnPgError
	c.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		switch {
		case conn.CustomData()[connectionKey] == nil: // it is being made
		case err.Code == "26000" || err.Code == "42P05":
			// A prepared statement that is not there, or that is already: another
			// process answers than before.
			p.pooler.Store(true)
			p.discard()
			return false
		case isLost(err.Code):
			p.discard()
			return false
		}
		return onError(conn, err)
	}
	p.stdlib = stdlib.GetConnector(*c,
		stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error {
			if p.pooler.Load() && c.DefaultQueryExecMode != pgx.QueryExecModeSimpleProtocol {
				c.DefaultQueryExecMode = pgx.QueryExecModeExec
			}
			return nil
		}),
		stdlib.OptionShouldPing(func(context.Context, stdlib.ShouldPingParams) bool { return false }), // reset does
		stdlib.OptionResetSession(p.reset),
	)
	p.db = sql.OpenDB(p)
	p.limit = p.max
	p.db.SetMaxOpenConns(p.max)
	p.db.SetMaxIdleConns(p.max)
	p.db.SetConnMaxLifetime(p.life)
	p.db.SetConnMaxIdleTime(min(maxIdle, p.life))
	return p, nil
}

type postgresConfig struct {
	*pgx.ConnConfig
	connections int
	life        time.Duration
}

// parsePostgres reads a URL or keywords of PostgreSQL. Errors of the driver may
// quote a part of the password, which it takes for something else.
func parsePostgres(name string) (postgresConfig, error) {
	c, err := pgx.ParseConfig(name)
	pool, poolErr := pgxpool.ParseConfig(name)
	if err = errors.Join(err, poolErr); err != nil {
		var path *fs.PathError
		switch {
		case errors.As(err, &path):
			return postgresConfig{}, fmt.Errorf("the name of the database: %w", path)
		case strings.Contains(name, "pool_"):
			return postgresConfig{}, errors.New("the name of the database has a pool_ parameter that is no number or duration, or is wrong otherwise")
		}
		return postgresConfig{}, errors.New("the name of the database is not one of PostgreSQL: postgres://user:password@host:port/name, where / ? # @ % in a password are %2F %3F %23 %40 %25, or host=... user=... password='...' dbname=...; with sslmode, sslrootcert and the others of libpq if needed")
	}
	config := postgresConfig{c, DefaultConnections, DefaultConnectionLife}
	for key := range c.RuntimeParams {
		switch key {
		case "pool_max_conns":
			config.connections = int(pool.MaxConns)
		case "pool_max_conn_lifetime":
			config.life = pool.MaxConnLifetime
		case "pool_max_conn_idle_time", "pool_max_conn_lifetime_jitter": // the pool has its own
		default:
			if strings.HasPrefix(key, "pool_") {
				return postgresConfig{}, fmt.Errorf("the name of the database has the parameter %s, which this program does not know; it knows pool_max_conns and pool_max_conn_lifetime", key)
			}
			continue
		}
		delete(c.RuntimeParams, key)
	}
	if config.life <= 0 {
		return postgresConfig{}, errors.New("the name of the database has a pool_max_conn_lifetime that is not positive")
	}
	return config, nil
}

// isLost reports whether an error of the server with a SQLSTATE (PostgreSQL manual,
// appendix A) means that its connections serve no more: the server only reads, shuts
// down, starts, or has lost its own connection.
func isLost(code string) bool {
	switch code {
	case "25006", // read_only_sql_transaction
		"57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return true
	}
	return strings.HasPrefix(code, "08") // connection_exception
}

// isRefused reports whether a connection was refused because there are too many.
func isRefused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "53300" || // too_many_connections
		strings.Contains(pg.Message, "no more connections allowed")) // PgBouncer
}

// connectionKey is the key of a *connection among the custom data of a connection
// that is made.
const connectionKey = "authsignal"

// A connection is what the pool knows of a connection.
type connection struct {
	generation int64
	until      time.Time // it is not used after that
	used       time.Time // last
}

// backendKey is the key of the id of the process that answered first.
const backendKey = "authsignal-backend"

var errReadOnly = errors.New("the server only reads: it is a standby, or its default_transaction_read_only is on")

// validate returns a function that refuses servers on which no user can sign in. It
// also notes the id of the process that answers.
func validate(configured pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	return func(ctx context.Context, c *pgconn.PgConn) error {
		if configured != nil {
			if err := configured(ctx, c); err != nil {
				return err
			}
		}
		results, err := c.Exec(ctx, `SELECT pg_backend_pid(), current_setting('transaction_read_only')`).ReadAll()
		if err != nil {
			return err
		}
		if len(results) != 1 || len(results[0].Rows) != 1 {
			return errors.New("the server does not answer as PostgreSQL does")
		}
		row := results[0].Rows[0]
		c.CustomData()[backendKey] = string(row[0])
		if string(row[1]) != "off" {
			return errReadOnly
		}
		return nil
	}
}

// Connect implements driver.Connector.
func (p *pool) Connect(ctx context.Context) (driver.Conn, error) {
	for {
		generation := p.generation.Load()
		c, err := p.stdlib.Connect(ctx)
		if err != nil {
			return nil, err
		}
		conn := c.(*stdlib.Conn).Conn()
		// A pooler has its own idea of the process.
		if conn.PgConn().CustomData()[backendKey] != fmt.Sprint(conn.PgConn().PID()) {
			p.pooler.Store(true)
			if mode := conn.Config().DefaultQueryExecMode; mode != pgx.QueryExecModeExec && mode != pgx.QueryExecModeSimpleProtocol {
				if err := c.Close(); err != nil {
					return nil, err
				}
				continue
			}
		}
		now := time.Now()
		// Connections that were made together do not end together.
		life := p.life - time.Duration(rand.Int64N(int64(p.life)/5+1))
		conn.PgConn().CustomData()[connectionKey] = &connection{generation, now.Add(life), now}
		if w, ok := conn.PgConn().Conn().(*watched); ok {
			w.made.Store(true)
		}
		return c, nil
	}
}

// Driver implements driver.Connector.
func (p *pool) Driver() driver.Driver { return p.stdlib.Driver() }

// discard makes all connections unused from now on.
func (p *pool) discard() { p.generation.Add(1) }

// reset is called before a connection is used again. It returns driver.ErrBadConn
// for one that is not to be used any more.
func (p *pool) reset(ctx context.Context, conn *pgx.Conn) error {
	c, ok := conn.PgConn().CustomData()[connectionKey].(*connection)
	now := time.Now()
	if !ok || c.generation != p.generation.Load() || now.After(c.until) {
		return driver.ErrBadConn
	}
	if now.Sub(c.used) > pingAfter {
		bounded, cancel := context.WithTimeout(ctx, pingTimeout)
		defer cancel()
		if err := conn.Ping(bounded); err != nil {
			if ctx.Err() == nil {
				p.discard()
			}
			return driver.ErrBadConn
		}
	}
	c.used = now
	return nil
}

// take returns a connection. It waits for one if all are in use, or if the server
// refuses another because there are too many.
func (p *pool) take(ctx context.Context) (*sql.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		p.grow()
		conn, err := p.db.Conn(waiting)
		if err == nil {
			return conn, nil
		}
		if isRefused(err) {
			p.shrink()
			select {
			case <-time.After(pause/2 + rand.N(pause)):
				continue
			case <-waiting.Done():
			}
		}
		if ctx.Err() == nil && waiting.Err() != nil {
			return nil, fmt.Errorf("no connection to the database within %s (-db-wait): of %d (-db-connections) it allows %d, all in use: %w", p.wait, p.max, p.allowed(), err)
		}
		return nil, err
	}
}

func (p *pool) allowed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}

// shrink notes that the server allows no more connections than are open, so that
// calls wait for those instead of asking for another.
func (p *pool) shrink() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limitedAt = time.Now()
	if open := max(1, p.db.Stats().OpenConnections); open < p.limit {
		p.setLimit(open)
	}
}

// grow allows one more connection if the limit has held for a time.
func (p *pool) grow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit < p.max && time.Since(p.limitedAt) > growAfter {
		p.limitedAt = time.Now()
		p.setLimit(p.limit + 1)
	}
}

func (p *pool) setLimit(n int) {
	p.limit = n
	p.db.SetMaxOpenConns(n)
	p.db.SetMaxIdleConns(n)
}

// A watched connection reports that its peer is gone.
type watched struct {
	net.Conn
	lost func()
	made atomic.Bool // whether the connection is one of the pool
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.note(err)
	return n, err
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.note(err)
	return n, err
}

// note calls lost unless the connection was given up by this side, as it is when a
// call ends before its answer.
func (w *watched) note(err error) {
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) && w.made.Load() {
		w.lost()
	}
}

// dial connects so that a peer that is gone without a word is noticed.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: int(peerTimeout/time.Second) - 2}}
	if strings.HasPrefix(network, "tcp") {
		d.Control = limitUnanswered
	}
	return d.DialContext(ctx, network, address)
}

// connectPostgres opens the pool, and connects once.
func (s *Store) connectPostgres(ctx context.Context, name string, o Options) error {
	if o.Schema == "" {
		o.Schema = DefaultSchema
	}
	if err := CheckSchema(o.Schema); err != nil {
		return err
	}
	p, err := openPool(name, o)
	if err != nil {
		return err
	}
	s.db, s.pool, s.dialect, s.migrateDB = p.db, p, postgresIn(o.Schema), o.MigrateDB
	conn, err := p.take(ctx)
	if err != nil { // the error names user and host, not the password
		return fmt.Errorf("connect to the database: %w", err)
	}
	return conn.Close()
}

// migratePostgres migrates by the database's own connection, or by that for
// migrations.
func (s *Store) migratePostgres(ctx context.Context) error {
	if s.migrateDB == "" {
		return migrations.Up(ctx, s.db, s.dialect.migrations)
	}
	err := migrations.Check(ctx, s.db, s.dialect.migrations)
	if err == nil || errors.Is(err, ErrNewer) {
		return err
	}
	var role, database string
	if err := s.queryRow(ctx, `SELECT current_user, current_database()`).Scan(&role, &database); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	name, err := ParseName(s.migrateDB)
	if err == nil && name.Postgres == "" {
		err = errors.New("it is not one of PostgreSQL")
	}
	if err != nil {
		return fmt.Errorf("-migrate-db: %w", err)
	}
	p, err := openPool(name.Postgres, Options{Connections: 1})
	if err != nil {
		return fmt.Errorf("-migrate-db: %w", err)
	}
	defer p.db.Close()
	var other string
	if err := p.db.QueryRowContext(ctx, `SELECT current_database()`).Scan(&other); err != nil {
		return fmt.Errorf("-migrate-db: connect to the database: %w", err)
	}
	if other != database {
		return fmt.Errorf("-migrate-db names the database %q, -db %q: they must be the same", other, database)
	}
	return migrations.Up(ctx, p.db, s.dialect.migrations.GrantTo(role))
}

// checkElsewhere returns an error if the database is fresh, and one of the
// encryption keys is already that of another schema: the name of the schema is then
// mistyped, and the server would know no users.
func (s *Store) checkElsewhere(ctx context.Context) error {
	return s.View(ctx, "", func(tx *Tx) error {
		schemas, err := collect(tx, scanValue[string], `SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'key_id' AND NOT a.attisdropped
			WHERE c.relname = 'encryption_keys' AND c.relkind = 'r' AND n.nspname <> ?
			AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')`, s.dialect.schema)
		for _, schema := range schemas {
			var ids []string
			ids, err = collect(tx, scanValue[string], `SELECT key_id::TEXT FROM `+pgx.Identifier{schema, "encryption_keys"}.Sanitize())
			for _, id := range ids {
				if _, ok := s.sealer.aead[id]; ok {
					return fmt.Errorf("the schema %q of the database is new, but %q was made with the same encryption key: name that one by -db-schema, or make another key for the new one", s.dialect.schema, schema)
				}
			}
			if err != nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("look for other schemas: %w", err)
		}
		return nil
	})
}

// conn returns a connection, for which it may wait.
func (s *Store) conn(ctx context.Context) (*sql.Conn, error) {
	if s.pool == nil {
		return s.db.Conn(ctx)
	}
	return s.pool.take(ctx)
}

// queryRow executes a query for one row outside of a transaction. Its Scan must be
// called.
func (s *Store) queryRow(ctx context.Context, query string, args ...any) row {
	if s.pool == nil {
		return s.db.QueryRowContext(ctx, query, args...)
	}
	ctx, cancel := context.WithTimeout(ctx, transactionTimeout)
	conn, err := s.conn(ctx)
	if err != nil {
		cancel()
		return failedRow{err}
	}
	return connRow{conn.QueryRowContext(ctx, s.dialect.rebind(query), args...), conn, cancel}
}

// A connRow is a row that gives its connection back.
type connRow struct {
	*sql.Row
	conn   *sql.Conn
	cancel func()
}

func (r connRow) Scan(dest ...any) error {
	defer r.cancel()
	err := r.Row.Scan(dest...)
	return errors.Join(err, r.conn.Close())
}
