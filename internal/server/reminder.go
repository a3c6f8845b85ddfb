package server

import (
	"sync"
	"time"
)

// A reminder remembers when the log was told of something, such as a tenant
// with nothing active: a line a minute is enough, however often it happens. The
// zero value is ready.
type reminder struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// tell reports whether it is time to tell the log of it again.
func (i *reminder) tell(what string, now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if last, ok := i.told[what]; ok && now.Sub(last) < time.Minute {
		return false
	}
	if i.told == nil {
		i.told = map[string]time.Time{}
	}
	i.told[what] = now
	return true
}
