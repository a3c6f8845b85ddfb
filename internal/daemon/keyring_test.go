package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// A new key signs only when every replica has had the time to learn of it.
func TestInOrder(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	key := func(id string, age time.Duration) store.SigningKey {
		return store.SigningKey{ID: id, CreatedAt: now.Add(-age)}
	}
	for _, tt := range []struct {
		keys []store.SigningKey
		want string
	}{
		{[]store.SigningKey{key("first", 0)}, "first"},
		{[]store.SigningKey{key("first", time.Hour)}, "first"},
		{[]store.SigningKey{key("new", spread-1), key("old", time.Hour)}, "old new"},
		{[]store.SigningKey{key("new", spread), key("old", time.Hour)}, "new old"},
		{[]store.SigningKey{key("newer", 0), key("new", spread), key("old", time.Hour)}, "new newer old"},
		{[]store.SigningKey{key("b", 1), key("a", 2)}, "a b"},
	} {
		var got []string
		for _, k := range *inOrder(tt.keys, now) {
			got = append(got, k.ID)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("got %v, want %s", got, tt.want)
		}
	}
}
