// Package address tells the clients of the server apart by their IP addresses.
package address

import (
	"net/http"
	"net/netip"
	"strings"
)

// Client returns the address of the client that sent a request. Behind
// trusted proxies it is the last address in X-Forwarded-For that is not a
// trusted proxy: the client may have written those to its left.
func Client(r *http.Request, trusted []netip.Prefix) netip.Addr {
	address, _ := client(r, trusted)
	return address
}

// Unnamed reports whether the client of a request looks like a proxy that is
// missing in trusted: it has a private address, and X-Forwarded-For names a
// client behind it that is not believed. All clients of such a proxy count as
// one.
func Unnamed(r *http.Request, trusted []netip.Prefix) bool {
	address, behind := client(r, trusted)
	return behind && (address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() || shared.Contains(address))
}

// shared is the address space of carriers' and clouds' inner networks (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// client returns the address of the client, and whether X-Forwarded-For has a
// further address behind it, which is not believed.
func client(r *http.Request, trusted []netip.Prefix) (address netip.Addr, behind bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	address = peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := Parse(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		if !trusts(trusted, address) {
			return address, true
		}
		address = hop
	}
	return address, false
}

// Parse parses an address, with a port or in brackets as some proxies
// write it, and removes its zone.
func Parse(s string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().WithZone("").Unmap(), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.WithZone("").Unmap(), err
}

// Subscriber returns the addresses that one client may have: an IPv4 address, or
// an IPv6 /64, which a single subscriber has at least (RFC 6177). Limits count
// by it. It is the zero prefix for the zero address.
func Subscriber(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func trusts(trusted []netip.Prefix, a netip.Addr) bool {
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
