package daemon

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// private is the mode of files that only the server's user may read and write.
const private = 0o600

// tighten removes the permissions of group and others from the files of an SQLite
// database and from its keys file.
func tighten(db string, log *slog.Logger) {
	if store.IsPostgres(db) {
		return
	}
	keys := config.KeysFile(db)
	db = store.FilePath(db)
	// SQLite's other files are beside the target of a link.
	if file, err := filepath.EvalSymlinks(db); err == nil {
		db = file
	}
	for _, path := range []string{db, db + "-wal", db + "-shm", db + ".lock", db + ".mark", keys} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.Mode().Perm()&0o077 == 0 {
			continue
		}
		if err == nil {
			err = os.Chmod(path, private)
		}
		if err != nil {
			log.Warn("group or others may have access to a file with secrets; set its mode to 0600", "file", path, "error", err)
			continue
		}
		log.Info("removed the permissions of group and others from a file with secrets", "file", path, "was", info.Mode().Perm().String())
	}
}
