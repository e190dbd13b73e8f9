export default {/* advice */};
