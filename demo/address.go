package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// networkIP returns the address of this machine by which others in its network
// reach it: that of the default route.
func networkIP() (net.IP, error) {
	// Connecting a UDP socket sends nothing: it only chooses the route. The
	// addresses are for documentation (RFC 5737, section 3; RFC 3849).
	for _, to := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		c, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		ip := c.LocalAddr().(*net.UDPAddr).IP
		c.Close()
		if !ip.IsLoopback() {
			return ip, nil
		}
	}
	return nil, fmt.Errorf("DEMO_ADDR: this machine has no route to a network; write its own address instead of an unspecified one, such as 192.168.1.2:%s", defaultPort)
}

// pageOrigins returns the origins of a page that a listener serves, as browsers
// write them; the first is the one to open. host is the one that was asked for,
// and may be a name; ip is the address at which browsers reach it, and name the
// machine's.
func pageOrigins(host string, at *net.TCPAddr, ip net.IP, name string) []string {
	port := ":" + strconv.Itoa(at.Port)
	if at.Port == 80 {
		port = ""
	}
	var hosts []string
	if host != "" && net.ParseIP(host) == nil {
		hosts = append(hosts, host)
	}
	literal := ip.String()
	if ip.To4() == nil {
		literal = "[" + literal + "]"
	}
	hosts = append(hosts, literal)
	if !ip.IsLoopback() && name != "" {
		hosts = append(hosts, name, name+".local") // by multicast DNS (RFC 6762)
	}
	if at.IP.IsUnspecified() {
		hosts = append(hosts, "127.0.0.1")
	}
	if at.IP.IsUnspecified() || ip.IsLoopback() {
		hosts = append(hosts, "localhost")
	}
	var origins []string
	for _, h := range hosts {
		if o := "http://" + strings.ToLower(h) + port; !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	return origins
}

// webhookURL returns the URL at which this machine reaches the receiver of webhooks.
func webhookURL(at *net.TCPAddr) string {
	host := at.IP.String()
	if at.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(at.Port)) + webhookPath
}
