package totp

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// URI returns the otpauth:// URI that an authenticator app reads from a QR code.
// Issuer and account may hold any text: all but RFC 3986's unreserved
// characters are percent-encoded, a space as %20 and a colon as %3A. An account
// may have colons. A new issuer has none (api.CheckIssuer), since apps split the
// label at its first colon, encoded or not.
func URI(issuer, account, secret string, p Parameters) string {
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + secret +
		"&issuer=" + escape(issuer) +
		"&algorithm=" + string(p.Algorithm) +
		"&digits=" + strconv.Itoa(p.Digits) +
		"&period=" + strconv.Itoa(p.Period)
}

func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// A Key is the content of an otpauth:// URI.
type Key struct {
	Issuer, Account string
	// Secret is in upper-case, unpadded base32, in its canonical form.
	Secret string
	Parameters
}

// ParseURI parses an otpauth://totp/ URI as other systems write it. Scheme, type,
// parameter names and algorithm may be in any case, and a label or an issuer may
// contain a %, # or ? that is not percent-encoded. Absent and empty parameters
// have their defaults. The error never quotes the URI.
//
// A parameter that is not known is an error: it may change the codes, and a user
// whose codes are computed in another way could not sign in. Parameters that only
// change how apps show an account are ignored, as is the case of their names.
//
// The issuer is that of the parameter; if it is absent or empty, that of the
// label. The account is what follows the issuer and its colon in the label, or
// else the label's first colon, without leading spaces (Google Authenticator's
// Key URI Format, "Label").
func ParseURI(uri string) (Key, error) {
	k, err := parseURI(strings.TrimSpace(uri))
	if err != nil {
		return Key{}, fmt.Errorf("otpauth URI: %w", err)
	}
	return k, nil
}

func parseURI(uri string) (Key, error) {
	// The standard library's parser would cut the label at a #, and refuse a %.
	if !utf8.ValidString(uri) || strings.ContainsFunc(uri, isControl) {
		return Key{}, errors.New("it is not a valid URI: it contains control characters or is not UTF-8")
	}
	rest, ok := cutPrefixFold(uri, "otpauth://")
	if !ok {
		if _, migration := cutPrefixFold(uri, "otpauth-migration:"); migration {
			return Key{}, errors.New("it must start with otpauth://; otpauth-migration:// is Google Authenticator's form for several accounts, which are to be exported one by one")
		}
		return Key{}, errors.New("it must start with otpauth://")
	}
	kind := rest[:len(rest)-len(strings.TrimLeftFunc(rest, isLetter))]
	rest = rest[len(kind):]
	if rest != "" && rest[0] != '/' && rest[0] != '?' {
		kind = ""
	}
	switch strings.ToLower(kind) {
	case "totp":
	case "hotp":
		return Key{}, errors.New("it must be of type totp; hotp, whose codes are counted and not timed, is not supported")
	default:
		return Key{}, errors.New("it must be of type totp")
	}
	label, query := cutQuery(rest)
	q, err := parseQuery(query)
	if err != nil {
		return Key{}, err
	}
	k := Key{Parameters: DefaultParameters}
	if k.Secret, err = NormalizeSecret(q["secret"]); err != nil {
		return Key{}, err
	}
	k.Issuer, k.Account = split(unescape(strings.TrimPrefix(label, "/"), '+'), unescape(q["issuer"], ' '))
	if s := q["algorithm"]; s != "" {
		if k.Algorithm, err = ParseAlgorithm(s); err != nil {
			return Key{}, err
		}
	}
	if s := q["digits"]; s != "" {
		if k.Digits, err = ParseWhole(s); err != nil {
			return Key{}, fmt.Errorf("digits %w", err)
		}
	}
	if s := q["period"]; s != "" {
		if k.Period, err = ParseWhole(s); err != nil {
			return Key{}, fmt.Errorf("period %w", err)
		}
	}
	return k, k.Validate()
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// parameterNames are those that decide about codes and names. The value reports
// whether ParseURI reads the parameter; the others only change how apps show an
// account: FreeOTP, Aegis, Ente Auth and others write them.
var parameterNames = map[string]bool{
	"secret": true, "issuer": true, "algorithm": true, "digits": true, "period": true,
	"image": false, "imageurl": false, "icon": false, "logo": false, "thumbnail": false, "color": false, "colour": false,
	"backgroundcolor": false, "textcolor": false, "lock": false, "codedisplay": false, "tag": false, "tags": false,
	"group": false, "note": false, "notes": false, "pinned": false, "favorite": false, "favourite": false,
}

// cutQuery cuts a URI after its type into label and query. A label may contain a
// question mark: the query begins at the first one that a known parameter follows.
func cutQuery(rest string) (label, query string) {
	for i, c := range rest {
		if c != '?' {
			continue
		}
		name, _, found := strings.Cut(rest[i+1:], "=")
		if _, known := parameterNames[strings.ToLower(name)]; found && known {
			return rest[:i], rest[i+1:]
		}
	}
	label, query, _ = strings.Cut(rest, "?")
	return label, query
}

// parseQuery returns the values of the known parameters by name in lower case; the
// issuer is still percent-encoded.
func parseQuery(query string) (map[string]string, error) {
	q := map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, found := strings.Cut(part, "=")
		if !found {
			// It is not quoted: it may be a secret without its name.
			return nil, errors.New("a part of the query is not name=value; an & in a value must be written as %26")
		}
		read, known := parameterNames[strings.ToLower(name)]
		if !known {
			return nil, fmt.Errorf("%s is not known and may change the codes; the parameters are secret, issuer, algorithm, digits and period", shownName(name))
		}
		if !read {
			continue
		}
		name = strings.ToLower(name)
		if name != "issuer" {
			var err error
			if value, err = url.QueryUnescape(value); err != nil {
				return nil, fmt.Errorf("%s is not percent-encoded correctly", name)
			}
		}
		if _, twice := q[name]; twice {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		q[name] = value
	}
	return q, nil
}

// shownName is the name of an unknown parameter in an error. The shortest secret
// that is imported is longer than the names that are shown.
func shownName(name string) string {
	if len(name) == 0 || len(name) > 12 || strings.TrimFunc(name, isLetter) != "" {
		return "a parameter"
	}
	return "the parameter " + name
}

// unescape decodes percent-encoding where there is one: a % without two hexadecimal
// digits stands for itself, and a + for plus. If the text would not be UTF-8, each %
// stands for itself.
func unescape(s string, plus byte) string {
	s = strings.ReplaceAll(s, "+", string(plus))
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	if out := b.String(); utf8.ValidString(out) {
		return out
	}
	return s
}

// split returns the issuer and the account of a decoded label; known is the
// issuer of the parameter, or empty.
func split(label, known string) (issuer, account string) {
	issuer, account = known, label
	if after, found := strings.CutPrefix(label, known+":"); found {
		account = after
	} else if before, after, found := strings.Cut(label, ":"); found {
		account = after
		if known == "" {
			issuer = before
		}
	}
	return issuer, strings.TrimLeft(account, " ")
}

var algorithmForm = regexp.MustCompile(`(?i)^(?:HMAC[-_ ]?)?SHA[-_ ]?(1|256|512)$`)

// ParseAlgorithm parses the name of an algorithm as other systems write it, such as
// sha256, SHA-256 and HmacSHA256.
func ParseAlgorithm(s string) (Algorithm, error) {
	m := algorithmForm.FindStringSubmatch(s)
	if m == nil {
		return "", errAlgorithm
	}
	return Algorithm("SHA" + m[1]), nil
}

var wholeForm = regexp.MustCompile(`^([0-9]{1,9})(?:\.0{1,9})?$`)

// ParseWhole parses digits and periods: a whole number, which some systems write as
// 30.0.
func ParseWhole(s string) (int, error) {
	m := wholeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, errors.New("is not a whole number")
	}
	return strconv.Atoi(m[1])
}

var errNotBase32 = errors.New("secret is not base32")

// NormalizeSecret returns a base32 secret as other systems write it and users type
// it (lower case, spaces, dashes, padding) in upper case without padding. The error
// never quotes it.
//
// A last character that completes no byte is dropped, and so are the bits of the
// last character that belong to no byte, as authenticator apps do: some systems
// make secrets of random characters. Equal keys have equal texts.
func NormalizeSecret(secret string) (string, error) {
	secret = strings.NewReplacer(" ", "", "-", "", "\t", "", "\r", "", "\n", "").Replace(secret)
	secret = strings.TrimRight(secret, "=")
	if secret == "" {
		return "", errors.New("secret is missing")
	}
	// Before the letters are made capitals, since those of other alphabets may
	// become ASCII.
	if strings.Trim(secret, base32Alphabet+"abcdefghijklmnopqrstuvwxyz") != "" {
		return "", errNotBase32
	}
	secret = strings.ToUpper(secret)
	// No number of whole bytes has these lengths (RFC 4648, section 6).
	if n := len(secret) % 8; n == 1 || n == 3 || n == 6 {
		secret = secret[:len(secret)-1]
	}
	key, err := base32NoPad.DecodeString(secret)
	if err != nil || len(key) == 0 {
		return "", errNotBase32
	}
	return base32NoPad.EncodeToString(key), nil
}

const base32Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// SecretBits is the length of a normalised secret in bits.
func SecretBits(secret string) int { return base32NoPad.DecodedLen(len(secret)) * 8 }
