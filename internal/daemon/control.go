package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/portal"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A server on SQLite is the only process that may open its database, so it does by
// itself what commands ask for while it runs: it serves HTTP on a Unix socket beside
// the database, which only the user of the server and root can open. Both can open
// the database as well.
const (
	controlApply    = "/apply"
	controlPassword = "/portal-password"
)

// maxControl is the maximum size of a request: a declarative configuration in base64
// and its variables.
const maxControl = 8 << 20

// An applyRequest is a declarative configuration, with the name of the file for
// errors and the values of the variables that it names.
type applyRequest struct {
	Name      string            `json:"name"`
	File      []byte            `json:"file"`
	Variables map[string]string `json:"variables"`
}

// A controlAnswer has the changes that were made, even if an error follows.
type controlAnswer struct {
	Changes  []string `json:"changes,omitempty"`
	Password string   `json:"password,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// A socket is the place of the socket of a database.
type socket struct {
	folder *os.File
	base   string
}

// socketOf returns the socket of a SQLite database. The caller closes its folder.
func socketOf(database string) (socket, error) {
	name, err := store.ParseName(database)
	if err != nil {
		return socket{}, err
	}
	path, err := filepath.Abs(name.Path)
	if err != nil {
		return socket{}, err
	}
	// A file has one socket, whatever links lead to it.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	base := filepath.Base(path) + ".sock"
	if len(base) > 50 {
		sum := sha256.Sum256([]byte(base))
		base = "." + hex.EncodeToString(sum[:8]) + ".sock"
	}
	folder, err := os.Open(filepath.Dir(path))
	return socket{folder, base}, err
}

func (s socket) path() string { return filepath.Join(s.folder.Name(), s.base) }

// maxAddress is the maximum length of a socket's address that all systems accept:
// sun_path has 104 bytes on some, 108 on Linux, with a zero at its end.
const maxAddress = 103

// address returns an address of a file in the folder for the system. A path that is
// too long begins with the open folder instead, where there is /proc.
func (s socket) address(name string) string {
	path := filepath.Join(s.folder.Name(), name)
	if len(path) > maxAddress {
		path = fmt.Sprintf("/proc/self/fd/%d/%s", s.folder.Fd(), name)
	}
	return path
}

// listen listens on the socket, whose file replaces one that a killed server left.
// The caller holds the lock of the database.
func (s socket) listen() (*net.UnixListener, error) {
	// The socket is made in a folder that only this user can enter, since it gets
	// its mode only after it is made.
	private, err := os.MkdirTemp(s.folder.Name(), ".sock")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: s.address(filepath.Join(filepath.Base(private), "s"))})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it is renamed
	made := filepath.Join(private, "s")
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, s.path())
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// control serves what commands ask for, until stop is called. Without a socket the
// server runs too, and the commands say that it must be stopped.
func (s *Server) control(database string) (stop func()) {
	if store.IsPostgres(database) {
		return func() {}
	}
	at, err := socketOf(database)
	if err != nil {
		s.log.Warn("no control socket: apply and portal-password need the server to be stopped", "error", err)
		return func() {}
	}
	l, err := at.listen()
	if err != nil {
		s.log.Warn("no control socket: apply and portal-password need the server to be stopped", "file", at.path(), "error", err)
		at.folder.Close()
		return func() {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+controlApply, s.controlApply)
	mux.HandleFunc("POST "+controlPassword, s.controlPassword)
	h := &http.Server{
		Handler: mux, ReadTimeout: 15 * time.Second, WriteTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Warn("control socket", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if h.Shutdown(ctx) != nil { // a command that takes longer ends with an error
			h.Close()
		}
		<-ended
		os.Remove(at.path())
		at.folder.Close()
	}
}

func (s *Server) controlApply(w http.ResponseWriter, r *http.Request) {
	var in applyRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl)).Decode(&in); err != nil {
		answerControl(w, controlAnswer{Error: "the request is malformed"})
		return
	}
	var out controlAnswer
	err := s.applyNow(r.Context(), in, func(change string) {
		s.log.Info("configuration", "change", change, "by", "apply")
		out.Changes = append(out.Changes, change)
	})
	if err != nil {
		out.Error = err.Error()
	}
	answerControl(w, out)
}

func (s *Server) applyNow(ctx context.Context, in applyRequest, report func(change string)) error {
	file, err := config.ParseFile(in.Name, in.File)
	if err != nil {
		return err
	}
	var environ []string
	for name, value := range in.Variables {
		environ = append(environ, name+"="+value)
	}
	return file.Apply(ctx, s.store, config.NewEnv(environ), time.Now(), report)
}

func (s *Server) controlPassword(w http.ResponseWriter, r *http.Request) {
	password, err := portal.NewPassword(r.Context(), s.store, time.Now())
	if err != nil {
		answerControl(w, controlAnswer{Error: err.Error()})
		return
	}
	s.log.Info("made a new password for the portal", "by", "portal-password")
	answerControl(w, controlAnswer{Password: password})
}

func answerControl(w http.ResponseWriter, out controlAnswer) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out) // the command reports an answer that is cut off
}

// patience is how long a command waits for a database that another process has
// open without answering at its socket: another command, or a server that starts or
// stops.
const patience = 5 * time.Second

// askOrOpen opens the database and calls alone. If a server has it open, it sends
// the request to the server instead, and returns the answer.
func askOrOpen(ctx context.Context, c config.Config, alone func(*store.Store) error, path string, request any) (controlAnswer, error) {
	waited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		st, err := openStore(ctx, c, loadKeys(c))
		if err == nil {
			// If this fails, the next start warns of it.
			_ = config.MarkUsed(c.DB)
			return controlAnswer{}, errors.Join(alone(st), st.Close())
		}
		if !errors.Is(err, store.ErrLocked) {
			return controlAnswer{}, err
		}
		answer, dialed, sendErr := send(ctx, c.DB, path, request)
		if dialed {
			return answer, sendErr
		}
		select {
		case <-waited.Done():
			return controlAnswer{}, fmt.Errorf("%w, which does not answer at its control socket (%w); run the command on the machine of the server and as its user, or stop the server first", err, sendErr)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stopFirst adds the remedy to the error of a command that needs a SQLite database
// for itself.
func stopFirst(err error) error {
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("%w; stop the server first", err)
	}
	return err
}

// send sends a request to the server that has a database open. dialed reports
// whether it was there.
func send(ctx context.Context, database, path string, request any) (answer controlAnswer, dialed bool, err error) {
	at, err := socketOf(database)
	if err != nil {
		return answer, false, err
	}
	defer at.folder.Close()
	body, err := json.Marshal(request)
	if err != nil {
		return answer, false, err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", at.address(at.base))
		dialed = dialed || err == nil
		return conn, err
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control"+path, bytes.NewReader(body))
	if err != nil {
		return answer, false, err
	}
	res, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(r)
	if err != nil {
		return answer, dialed, fmt.Errorf("ask the running server: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return answer, true, fmt.Errorf("the running server answered %s: it is of another version; stop it first", res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return answer, true, errors.New("the running server stopped before it answered; run the command again")
	}
	if answer.Error != "" {
		return answer, true, errors.New(answer.Error)
	}
	return answer, true, nil
}
