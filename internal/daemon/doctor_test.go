package daemon

import (
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

func TestDoctorJudgesADatabase(t *testing.T) {
	t.Parallel()
	fine := func() store.Facts {
		return store.Facts{Version: 5, Newest: 5, Clock: time.Now(), KeySince: time.Now()}
	}
	for _, tt := range []struct {
		name  string
		check string
		want  Level
		make  func(*store.Facts)
	}{
		{"nothing is wrong", "", Fine, func(*store.Facts) {}},
		{"a standby", "database", Failure, func(f *store.Facts) { f.ReadOnly = true }},
		{"a newer schema", "database", Failure, func(f *store.Facts) { f.Version = 6 }},
		{"an older schema", "", Fine, func(f *store.Facts) { f.Version = 4 }},
		{"an empty database", "database", Warning, func(f *store.Facts) { f.Empty = true }},
		{"another key", "keys", Failure, func(f *store.Facts) { f.KeyMissing = true }},
		{"an old key", "keys", Warning, func(f *store.Facts) { f.KeySince = time.Now().AddDate(-3, 0, 0) }},
		{"a clock that is ahead", "clock", Failure, func(f *store.Facts) { f.Clock = time.Now().Add(time.Minute) }},
		{"a clock that is behind", "clock", Warning, func(f *store.Facts) { f.Clock = time.Now().Add(-5 * time.Second) }},
	} {
		facts := fine()
		tt.make(&facts)
		var worst Finding
		(&doctor{report: func(f Finding) {
			if f.Level > worst.Level {
				worst = f
			}
			if f.Level > Fine && f.Remedy == "" {
				t.Errorf("%s: no remedy: %s", tt.name, f.Text)
			}
		}}).facts(facts)
		if worst.Level != tt.want || worst.Check != tt.check {
			t.Errorf("%s: got %+v, want %s of %q", tt.name, worst, tt.want, tt.check)
		}
	}
}
