#!/bin/sh
# Arguments go to the server: `IMAGE -c wal_level=logical` and `IMAGE postgres -c wal_level=logical` both work;
# another first word is run as it is. Honours POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_PASSWORD_FILE, POSTGRES_DB,
# POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, PGDATA and /docker-entrypoint-initdb.d, as the public image does.
set -eu

case ${1:-postgres} in
    postgres) [ $# -eq 0 ] || shift ;;
    -*) ;;
    *) exec "$@" ;;
esac

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
sockets=/run/postgresql

if [ "$(id -u)" = 0 ]; then            # the server refuses to run as root
    mkdir -p "$PGDATA" "$sockets"
    chown -R postgres:postgres "$PGDATA" "$sockets"
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" postgres "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=${POSTGRES_PASSWORD:-}
    [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
    if [ -z "$password" ] && [ "$method" != trust ]; then
        echo "entrypoint: set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust" >&2
        exit 1
    fi
    secret=$(mktemp)
    printf '%s\n' "${password:-unused}" > "$secret"
    # shellcheck disable=SC2086  # the words of POSTGRES_INITDB_ARGS are meant to split
    initdb --username="$user" --encoding=UTF8 --auth-local=trust --auth-host=trust \
        --pwfile="$secret" ${POSTGRES_INITDB_ARGS:-}
    rm -f "$secret"
    printf 'host all all all %s\nhost replication all all %s\n' "$method" "$method" >> "$PGDATA/pg_hba.conf"
    # No TCP listener during set-up: a readiness probe over TCP must not succeed
    # before the databases and the init scripts are in place.
    pg_ctl -w -s -o "-c listen_addresses='' -c unix_socket_directories=$sockets" start
    psql="psql -X -q -v ON_ERROR_STOP=1 -h $sockets -U $user"
    if [ "$database" != postgres ]; then
        $psql -d postgres -v name="$database" <<'SQL'
CREATE DATABASE :"name";
SQL
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sql) $psql -d "$database" -f "$script" ;;
            *.sh) PGHOST=$sockets PGUSER=$user PGDATABASE=$database sh "$script" ;;
        esac
    done
    pg_ctl -w -s -m fast stop
    echo "entrypoint: initialised; starting the server"
fi

exec postgres -c listen_addresses='*' -c unix_socket_directories="$sockets" "$@"
