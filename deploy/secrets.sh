#!/bin/sh
# Makes a folder with everything secret that a deployment needs, once:
#
#     VELT_API_KEY=… VELT_AUTH_TOKEN=… deploy/secrets.sh FOLDER [HOST OF REDIS]
#
# FOLDER/secrets   one file for each setting, called like it; NAME_FILE is how the resolver finds it
# FOLDER/redis     users.acl with the resolver's password (as a hash), and the certificate that Redis shows
# FOLDER/tls       ca.crt, which the resolver trusts Redis by
# FOLDER/nginx     a certificate to begin with: put one there that browsers know
#
# All but tls is closed to others. The files in it are not: a container's user must read what it is given.
# RESOLVER names the command, if it isn't on the PATH: RESOLVER="docker run --rm velt-notification-resolver"
set -eu
: "${VELT_API_KEY:?is shown in the console of Velt}" "${VELT_AUTH_TOKEN:?is shown in the console of Velt}"
folder=${1:?usage: deploy/secrets.sh FOLDER [HOST OF REDIS]}
redis=${2:-127.0.0.1}
shipped=$(dirname "$0")

# Losing the master keys is losing all content: nothing here is ever made a second time.
[ ! -e "$folder/secrets" ] || { echo "$folder/secrets is there already" >&2; exit 1; }
umask 022
mkdir -p "$folder"
making=$(mktemp -d "$folder/making.XXXXXX")
trap 'rm -rf "$making"' EXIT
mkdir -m 755 "$making/tls"
mkdir -m 700 "$making/secrets" "$making/redis" "$making/nginx" "$making/authority"

secret() { cat > "$making/secrets/$1"; }
certificate() { # NAME, CERTIFICATE'S FILE, KEY'S FILE
    case $1 in *[!0-9.]*) kind=DNS ;; *) kind=IP ;; esac
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$3" \
        -out "$making/authority/request" 2>/dev/null
    printf 'subjectAltName=%s\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n' "$kind:$1,DNS:localhost,IP:127.0.0.1" \
        > "$making/authority/extensions"
    openssl x509 -req -in "$making/authority/request" -days 3650 -CA "$making/tls/ca.crt" \
        -CAkey "$making/authority/ca.key" -CAcreateserial -CAserial "$making/authority/serial" \
        -extfile "$making/authority/extensions" -out "$2" 2>/dev/null
    chmod 644 "$3"
}

printf %s "$VELT_API_KEY" | secret VELT_API_KEY
printf %s "$VELT_AUTH_TOKEN" | secret VELT_AUTH_TOKEN
${RESOLVER:-resolver} keys new > "$making/authority/fresh"
while read -r line; do
    printf %s "${line#*=}" | secret "${line%%=*}"
done < "$making/authority/fresh"
openssl rand -hex 32 | secret RESOLVER_METRICS_TOKEN

password=$(openssl rand -hex 32)
hash=$(printf %s "$password" | openssl dgst -sha256 -r | cut -d' ' -f1)
sed "/^user resolver/ s/ on / on #$hash /" "$shipped/redis/users.acl" > "$making/redis/users.acl"
echo "rediss://resolver:$password@$redis:6379/0?ssl_ca_certs=/etc/velt-resolver/tls/ca.crt" | secret REDIS_URL

# The authority's key is deleted when this ends, so that no other certificate can be made that the resolver would trust.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=velt-resolver" \
    -addext keyUsage=critical,keyCertSign -keyout "$making/authority/ca.key" -out "$making/tls/ca.crt" 2>/dev/null
certificate "$redis" "$making/redis/redis.crt" "$making/redis/redis.key"
cp "$making/tls/ca.crt" "$making/redis/ca.crt"
certificate localhost "$making/nginx/resolver.crt" "$making/nginx/resolver.key"

mv "$making/redis" "$making/tls" "$making/nginx" "$folder/"
# Last, and at once: that it is there means that all is.
mv "$making/secrets" "$folder/"
