// A composite accessor: a ramp wired to a display.
exports.setup = function () {
    var ramp = this.instantiate('Ramp', 'accessors/Ramp');
    var display = this.instantiate('Display', 'accessors/Display');
    this.connect(ramp, 'count', display, 'input');
};

exports.initialize = function () {
    console.log('the ramp begins');
};

exports.wrapup = function () {
    console.log('the ramp ends');
};
