// Prints what comes in.
exports.setup = function () {
    this.input('input');
};

exports.initialize = function () {
    var self = this;
    this.addInputHandler('input', function () {
        console.log('tick ' + self.get('input'));
    });
};
