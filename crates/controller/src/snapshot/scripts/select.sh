# Comes before the scripts that read a place: `$1`. The rest are tests of find for what is not stored. Sockets and
# devices are nobody's to put back, and a path longer than the kernel takes at once is nobody's to open.
cd "$1"
shift
