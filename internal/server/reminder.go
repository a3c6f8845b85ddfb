package server

import (
	"sync"
	"time"
)

// A reminder limits a log message, such as that of a tenant with nothing active,
// to one a minute for each key. The zero value is ready.
type reminder struct {
	mu     sync.Mutex
	logged map[string]time.Time
}

// due reports whether the message of a key is to be logged now.
func (i *reminder) due(key string, now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if last, ok := i.logged[key]; ok && now.Sub(last) < time.Minute {
		return false
	}
	if i.logged == nil {
		i.logged = map[string]time.Time{}
	}
	i.logged[key] = now
	return true
}
