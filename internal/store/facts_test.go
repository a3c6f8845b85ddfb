package store

import (
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestFacts(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	mustOpen(t, database)
	for _, missing := range []bool{false, true} {
		key := storetest.Key
		if missing {
			key = make([]byte, KeySize)
		}
		s, err := OpenToCheck(t.Context(), database, Options{}, [][]byte{key})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Facts(t.Context())
		if err != nil || f.Empty || f.ReadOnly || f.Version == 0 || f.Version != f.Newest || f.KeyMissing != missing ||
			time.Since(f.Clock).Abs() > time.Minute || time.Since(f.KeySince).Abs() > time.Hour {
			t.Errorf("got %+v, %v", f, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
