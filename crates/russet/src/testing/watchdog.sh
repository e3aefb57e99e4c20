# Ends what a test process leaves behind, even when that process is killed with SIGKILL.
#
# It makes a folder and prints its path, then reads orders from standard input:
#   watch PID     kill this process and its group at the end
#   forget PID    this process has ended
# Only the test process holds the other end of that pipe, so end of file means that it is gone or has no more
# use for the folder. Then every watched process group is killed and the folder removed.
trap '' HUP INT TERM

folder=$(mktemp -d "${TMPDIR:-/tmp}/russet-test-XXXXXX" 2>&1) || {
    echo "no folder: $folder"
    exit 1
}
echo "$folder"

watched=
while read -r order pid; do
    case $order in
    watch)
        watched="$watched $pid"
        ;;
    forget)
        others=
        for one in $watched; do
            [ "$one" = "$pid" ] || others="$others $one"
        done
        watched=$others
        ;;
    esac
done

for pid in $watched; do
    kill -s KILL -- "-$pid"
done

# A process that is just dying may still have made a file: the removal is tried again.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf -- "$folder" && exit 0
    sleep 0.1
done
exit 1
