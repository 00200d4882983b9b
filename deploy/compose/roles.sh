#!/bin/sh
# Makes the roles and the database of docs/databases.md. The image of PostgreSQL runs it at the first start.
set -eu
psql --username "$POSTGRES_USER" --set ON_ERROR_STOP=1 <<'SQL'
\getenv password POSTGRES_PASSWORD
CREATE ROLE strongroom_owner LOGIN PASSWORD :'password';
CREATE ROLE strongroom_serve LOGIN PASSWORD :'password';
CREATE DATABASE strongroom OWNER strongroom_owner ENCODING 'UTF8' TEMPLATE template0;
ALTER ROLE strongroom_serve SET lock_timeout = '2s';
ALTER ROLE strongroom_serve SET statement_timeout = '5s';
ALTER ROLE strongroom_serve SET idle_in_transaction_session_timeout = '5s';
SQL
