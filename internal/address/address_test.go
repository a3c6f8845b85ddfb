package address

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClient(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, tt := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:1234", "", "192.0.2.1"},
		{"192.0.2.1:1234", "203.0.113.9", "192.0.2.1"}, // from an untrusted peer
		{"10.0.0.1:1234", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:1234", "1.1.1.1, 203.0.113.9, 10.2.3.4", "203.0.113.9"},
		{"10.0.0.1:1234", "203.0.113.9:5555", "203.0.113.9"},
		{"10.0.0.1:1234", "[2001:db8::1]:5555", "2001:db8::1"},
		{"[::1]:1234", "2001:db8::1", "2001:db8::1"},
		{"10.0.0.1:1234", "nonsense", "10.0.0.1"},
		{"10.0.0.1:1234", "", "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1234", "203.0.113.9", "203.0.113.9"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if got := Client(r, trusted).String(); got != tt.want {
			t.Errorf("%s with %q: got %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}

func TestSubscriber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ address, want string }{
		{"192.0.2.1", "192.0.2.1/32"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64"},
	} {
		if got := Subscriber(netip.MustParseAddr(tt.address)).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.address, got, tt.want)
		}
	}
	if got := Subscriber(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: got %s", got)
	}
}

func TestUnnamed(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		peer, forwarded string
		want            bool
	}{
		{"192.168.0.1:1234", "203.0.113.9", true},
		{"127.0.0.1:1234", "203.0.113.9", true},
		{"[::1]:1234", "203.0.113.9", true},
		{"[fd00::1]:1234", "203.0.113.9", true},
		{"[::ffff:172.17.0.1]:1234", "203.0.113.9", true},
		{"100.64.0.1:1234", "203.0.113.9", true},
		{"10.0.0.1:1234", "203.0.113.9, 192.168.0.1", true}, // the second proxy of two
		{"10.0.0.1:1234", "203.0.113.9", false},
		{"10.0.0.1:1234", "192.168.0.1", false}, // a client in the same network
		{"192.168.0.1:1234", "", false},
		{"192.168.0.1:1234", "nonsense", false},
		{"192.0.2.1:1234", "203.0.113.9", false}, // anybody may write it
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if got := Unnamed(r, trusted); got != tt.want {
			t.Errorf("%s with %q: got %v, want %v", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}
