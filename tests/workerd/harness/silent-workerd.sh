#!/bin/sh
# workerd with a log that nobody reads. Its path is in WORKERD.
exec "$WORKERD" "$@" > /dev/null
